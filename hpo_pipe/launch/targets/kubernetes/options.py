"""Options of ``submit kubernetes``. Pure.

What a manifest's schema leaves open is held here: names, label values, quantities, and words that are one of a few.
"""

from __future__ import annotations

from typing import Final

from hpo_pipe.launch.own_options import Own

GRACE_S = 120
GKE_SPOT_GRACE_S = 15
"""What GKE gives pods of a spot machine that it takes back, whatever they ask for."""
KARPENTER, EKS, GKE = "karpenter", "eks", "gke"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
"""Of RFC 1123: what namespaces are called."""
SUBDOMAIN = rf"(?=[^/:=]{{1,253}}(?:[/:=]|\Z)){LABEL}(\.{LABEL})*"
"""Of RFC 1123: what most objects are called."""
_WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
KEY = rf"({SUBDOMAIN}/)?{_WORD}"
"""Of labels, annotations and taints."""
VALUE = rf"({_WORD})?"
"""Of labels and taints."""
_CPU = r"[1-9][0-9]{0,5}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9]|[1-9][0-9]{0,8}m"
_BYTES = r"[1-9][0-9]{0,11}(\.[0-9]{1,3})?([KMGTP]i|[kMGTP])"
_PATH = r"/[^:\x00-\x1f\x7f]{1,1000}"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,127}"

TABLE: Final[tuple[Own, ...]] = (
    Own(
        name="--context",
        help="Context of kubectl, kept in the study.  [default: the current one]",
        pattern=r"[^\x00-\x1f\x7f]{1,253}",
        example="training",
    ),
    Own(
        name="--namespace",
        help="Where the Job lies.  [default: the context's]",
        pattern=LABEL,
        example="vision",
    ),
    Own(
        name="--service-account",
        help="Whom the workers are, for the bucket: with a role for it (IRSA, Workload Identity).",
        pattern=SUBDOMAIN,
        example="hpo-pipe-worker",
    ),
    Own(
        name="--cpu",
        help="CPUs that each worker requests.",
        pattern=_CPU,
        example="4 or 500m",
    ),
    Own(
        name="--memory",
        help="Memory that each worker requests, and may not exceed; /dev/shm is a part of it.",
        pattern=_BYTES,
        example="16Gi",
    ),
    Own(
        name="--gpu-resource",
        help="What --gpus counts.",
        pattern=rf"{SUBDOMAIN}/{_WORD}",
        example="nvidia.com/mig-1g.5gb",
        default="nvidia.com/gpu",
    ),
    Own(
        name="--shm-size",
        help="At most so much of /dev/shm, which data loaders of PyTorch use.  [default: what memory allows]",
        pattern=_BYTES,
        example="8Gi",
    ),
    Own(
        name="--node-selector",
        help="Label that nodes must have; may be repeated.",
        pattern=rf"{KEY}={VALUE}",
        example="node.kubernetes.io/instance-type=g5.xlarge",
        multiple=True,
        most=32,
    ),
    Own(
        name="--toleration",
        help="Taint that is put up with, KEY[=VALUE][:EFFECT]; may be repeated. That of --gpu-resource always is.",
        pattern=rf"{KEY}(={VALUE})?(:({'|'.join(EFFECTS)}))?",
        example=f"dedicated=training:NoSchedule (or :{', :'.join(EFFECTS[1:])})",
        multiple=True,
        most=32,
    ),
    Own(
        name="--spot-nodes",
        help="Whose labels say which nodes are spot, for --spot and the like: karpenter, eks (managed groups), gke.",
        pattern=f"{KARPENTER}|{EKS}|{GKE}",
        example=f"{KARPENTER}, {EKS} or {GKE}",
    ),
    Own(
        name="--queue-name",
        help="Local queue of Kueue.",
        pattern=rf"(?=.{{1,63}}\Z){LABEL}",
        example="team-a",
    ),
    Own(
        name="--priority-class-name",
        help="Class that says who goes first.",
        pattern=SUBDOMAIN,
        example="low",
    ),
    Own(
        name="--image-pull-secret",
        help="Secret with the registry's password; may be repeated.",
        pattern=SUBDOMAIN,
        example="registry",
        multiple=True,
    ),
    Own(
        name="--secret-key-ref",
        help="Variable from a Secret, NAME=SECRET/KEY; may be repeated.",
        pattern=rf"{_VARIABLE}={SUBDOMAIN}/[-._A-Za-z0-9]{{1,253}}",
        example="HF_TOKEN=hugging-face/token",
        multiple=True,
        most=64,
    ),
    Own(
        name="--pvc",
        help="Volume claim, NAME:/MOUNT, for a study or data in a folder; may be repeated.",
        pattern=rf"{SUBDOMAIN}:{_PATH}",
        example="studies:/studies",
        multiple=True,
    ),
    Own(
        name="--run-as-user",
        help="User id of workers; never root.  [default: the image's]",
        low=1,
        high=2_147_483_647,
    ),
    Own(
        name="--fs-group",
        help="Group that --pvc volumes are writable for.",
        low=1,
        high=2_147_483_647,
    ),
    Own(
        name="--annotation",
        help="On the pods, KEY=VALUE; may be repeated.",
        pattern=rf"{KEY}=[^\x00-\x1f\x7f]{{0,1000}}",
        example="karpenter.sh/do-not-disrupt=true",
        multiple=True,
    ),
    Own(
        name="--grace-period",
        help=f"Seconds between SIGTERM and SIGKILL.  [default: {GRACE_S}; {GKE_SPOT_GRACE_S} on spot nodes of gke]",
        low=1,
        high=86_400,
    ),
    Own(
        name="--backoff-limit-per-index",
        help="So often a worker that crashed starts again; interruptions do not count.",
        low=0,
        high=1000,
        default=3,
    ),
    Own(
        name="--max-failed-indexes",
        help="When more workers have failed for good, the others are ended.  [default: they go on]",
        low=0,
        high=100_000,
    ),
    Own(
        name="--ttl-seconds-after-finished",
        help="Kubernetes deletes the ended Job after so long, and its logs.",
        low=600,
        high=31_536_000,
        default=86_400,
    ),
)
