#!/bin/sh
# A machine of EC2 that runs one worker of an hpo-pipe study, and ends with it: user data, which the machine's first boot
# runs as root. `hpo-pipe submit ec2` fills in what it runs. By hand, or for Terraform's module ec2, change these lines.
#
# The machine's image (AMI) has cloud-init, systemd 240 or newer, and curl. With IMAGE also docker, NVIDIA's container
# toolkit where there are GPUs, and the AWS CLI where the image is in ECR; without IMAGE hpo-pipe itself, and the
# training's packages. What shuts down must end for good: InstanceInitiatedShutdownBehavior is terminate.
set -eu

# begin: what it runs
IMAGE=''                                                 # container image whose entry point is hpo-pipe
PROGRAM='hpo-pipe'                                       # without IMAGE: a path, or a name on the PATH
ARGUMENTS='s3://bucket/studies/first --idle-timeout 300' # of the worker, as a shell reads them; no secrets
ENVIRONMENT=''                                           # lines NAME=VALUE, as a shell reads them; no secrets
PRICES=''                                                # lines: instance type, spot or on-demand, dollars per hour
GRACE_S=120                                              # between SIGTERM and SIGKILL of the worker
LIMIT_S=604800                                           # so long after its boot the machine ends, whatever happens
GROUP=''                                                 # yes: it is of an Auto Scaling group, and leaves it
SUBMISSION=''                                            # its number; else what the machine's tags say
# end: what it runs

folder=${HPO_PIPE_FOLDER:-}/usr/local/lib/hpo-pipe
units=${HPO_PIPE_FOLDER:-}/etc/systemd/system
imds=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
imds=${imds%/}

say() {
    echo "hpo-pipe: $*" >&2
}

# A machine on which this script fails would cost money for nothing.
leave() {
    [ "$1" = 0 ] && return
    say 'no worker can be started here: the machine ends'
    shutdown -h now
}
trap 'leave $?' EXIT

curl() {
    command curl --silent --show-error --fail --noproxy '*' --max-time 5 --retry 5 --retry-connrefused "$@"
}

fact() {
    curl --header "X-aws-ec2-metadata-token: $token" "$imds/latest/meta-data/$1" 2>/dev/null
}

file() { # path, mode: stdin becomes this file
    cat >"$1"
    chmod "$2" "$1"
}

mkdir -p "$folder" "$units"

# The end comes first: from here on the machine ends by itself, even where all else hangs.
file "$folder/end" 755 <<'END'
#!/bin/sh
if [ -r "${0%/*}/leave" ]; then
    # Of a group: with a lower size of it, or it would fill the place again.
    . "${0%/*}/leave"
fi
shutdown -h now
END
file "$units/hpo-pipe-end.service" 644 <<END
[Unit]
Description=End of this machine

[Service]
Type=oneshot
ExecStart=$folder/end
StandardOutput=journal+console
StandardError=inherit
END
file "$units/hpo-pipe-end.timer" 644 <<END
[Unit]
Description=End of this machine at the latest

[Timer]
OnBootSec=$LIMIT_S
AccuracySec=10s

[Install]
WantedBy=timers.target
END
systemctl daemon-reload
systemctl enable --now hpo-pipe-end.timer

# Which machine this is: the fleet chose it.
token=$(curl --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$imds/latest/api/token")
type=$(fact instance-type)
region=$(fact placement/region)
[ "$(fact instance-life-cycle || true)" = spot ] && lifecycle=spot || lifecycle=on-demand
[ -n "$SUBMISSION" ] || SUBMISSION=$(fact tags/instance/hpo-pipe:submission || true)
price=$(printf '%s\n' "$PRICES" | while read -r name way dollars; do
    if [ "$name $way" = "$type $lifecycle" ]; then echo "$dollars"; fi
done)
if [ -n "$GROUP" ]; then
    id=$(fact instance-id)
    file "$folder/leave" 644 <<END
aws autoscaling terminate-instance-in-auto-scaling-group --region $region --instance-id $id \\
    --should-decrement-desired-capacity || echo 'hpo-pipe: it is still in its group' >&2
END
fi
say "$type, $lifecycle, in $region"

facts="AWS_REGION=$region
AWS_DEFAULT_REGION=$region
HPO_PIPE_PROVIDER=ec2
HPO_PIPE_INSTANCE_TYPE=$type
HPO_PIPE_REGION=$region
HPO_PIPE_LIFECYCLE=$lifecycle
HPO_PIPE_PRICE_PER_HOUR=$price
HPO_PIPE_SUBMISSION=${SUBMISSION##*-}"
variables="${facts}
$ENVIRONMENT"

if [ -n "$IMAGE" ]; then
    command -v docker >/dev/null || { say 'this AMI has no docker'; exit 1; }
    names=$(printf '%s\n' "$variables" | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/--env \1/p' | sort -u | tr '\n' ' ')
    account="User=root
Environment=HOME=/root"
    prepare="docker rm --force hpo-pipe-worker >/dev/null 2>&1 || true
case '$IMAGE' in
*.dkr.ecr.*.amazonaws.com*/*)
    if command -v aws >/dev/null; then
        aws ecr get-login-password --region '$(echo "$IMAGE" | cut -d . -f 4)' |
            docker login --username AWS --password-stdin '${IMAGE%%/*}'
    fi
    ;;
esac
docker pull --quiet '$IMAGE'"
    start="gpus=
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then gpus='--gpus all'; fi
exec docker run --rm --init --name hpo-pipe-worker --network host --ipc host --ulimit memlock=-1 --log-driver none \\
    \$gpus $names'$IMAGE' worker $ARGUMENTS"
else
    command -v "$PROGRAM" >/dev/null || { say "this AMI has no $PROGRAM"; exit 1; }
    id hpo-pipe >/dev/null 2>&1 || useradd --system --create-home --shell /usr/sbin/nologin hpo-pipe
    account="User=hpo-pipe
WorkingDirectory=~"
    prepare=:
    start="case '$PROGRAM' in */*) PATH='${PROGRAM%/*}':\$PATH ;; esac
exec '$PROGRAM' worker $ARGUMENTS"
fi

file "$folder/prepare" 755 <<END
#!/bin/sh
set -eu
$prepare
END
file "$folder/worker" 755 <<END
#!/bin/sh
set -a
$variables
set +a
$start
END
# After success; all that restarts do not mend, or that must not start again, is the unit's failure.
file "$folder/ended" 755 <<'END'
#!/bin/sh
[ "${SERVICE_RESULT:-}" != success ] || systemctl start --no-block hpo-pipe-end.service
END
file "$units/hpo-pipe-worker.service" 644 <<END
[Unit]
Description=A worker of hpo-pipe
Wants=network-online.target
After=network-online.target docker.service
OnFailure=hpo-pipe-end.service
StartLimitIntervalSec=3600
StartLimitBurst=5

[Service]
Type=exec
$account
ExecStartPre=$folder/prepare
ExecStart=$folder/worker
ExecStopPost=+$folder/ended
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=2 75 78
KillMode=mixed
TimeoutStartSec=3600
TimeoutStopSec=$GRACE_S
StandardOutput=journal+console
StandardError=inherit
SyslogIdentifier=hpo-pipe

[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable hpo-pipe-worker.service
systemctl start --no-block hpo-pipe-worker.service
say 'the worker starts'
