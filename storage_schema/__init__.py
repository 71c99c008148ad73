"""The contract that both sides of hpo-pipe share: see PROTOCOL.md."""
