# ruff: noqa: PTH105, PTH113, PTH118, PTH123
"""A training script in the style of SageMaker's examples: it knows SageMaker, and nothing of hpo-pipe."""

import argparse
import json
import os
import sys
import time


def train(args):
    resume = os.path.join(args.checkpoint_path, "state.json")
    first, state = 1, 0.3
    if os.path.isfile(resume):
        with open(resume) as file:
            saved = json.load(file)
        first, state = saved["epoch"] + 1, saved["state"]
        print(f"resumed after epoch {saved['epoch']}", file=sys.stderr)
    with open(os.path.join(args.train, "shift.txt")) as file:
        shift = float(file.read())
    for epoch in range(first, args.epochs + 1):
        time.sleep(args.epoch_seconds)
        state = (3.7 * state * (1.0 - state) + args.learning_rate + shift) % 1.0
        if not args.save_first:
            print(f"epoch {epoch}: validation-loss={state!r};", file=sys.stderr, flush=True)
        if epoch % args.save_every == 0:
            with open(resume + ".new", "w") as file:
                json.dump({"epoch": epoch, "state": state}, file)
            os.replace(resume + ".new", resume)
        if args.save_first:
            time.sleep(args.evaluation_seconds)
            print(f"epoch {epoch}: validation-loss={state!r};", flush=True)
    with open(os.path.join(args.model_dir, "model.json"), "w") as file:
        json.dump({"state": state}, file)
    with open(os.path.join(args.output_data_dir, "notes.txt"), "w") as file:
        file.write("done\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--epoch-seconds", type=float, default=0.0)
    parser.add_argument("--evaluation-seconds", type=float, default=0.0)
    parser.add_argument("--save-every", type=int, default=1)
    parser.add_argument("--save-first", type=lambda text: text == "True", default=False)
    parser.add_argument("--checkpoint-path", type=str, default="/opt/ml/checkpoints")
    parser.add_argument("--hosts", type=str, default=json.loads(os.environ["SM_HOSTS"]))
    parser.add_argument("--current-host", type=str, default=os.environ["SM_CURRENT_HOST"])
    parser.add_argument("--model-dir", type=str, default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--output-data-dir", type=str, default=os.environ["SM_OUTPUT_DATA_DIR"])
    parser.add_argument("--train", type=str, default=os.environ["SM_CHANNEL_TRAINING"])
    parser.add_argument("--num-gpus", type=int, default=os.environ["SM_NUM_GPUS"])
    given = parser.parse_args()
    assert given.current_host in given.hosts
    train(given)
