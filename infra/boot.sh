#!/usr/bin/env bash
# The user data of every instance: Amazon Linux 2023, Debian or Ubuntu. It is the same for all apps and releases;
# what to run, the instance learns from its own tags and from the release's manifest in the ledger:
#
#   tags -> security updates, docker, the AWS CLI -> manifest -> artifact, verified -> docker load -> config -> docker run
#
# A boot that fails says why in the ledger, where the deploy reads it, and on the instance's console.
set -Eeuo pipefail
umask 077

readonly WORK=${EXUVIA_DIRECTORY:-/var/lib/exuvia}
readonly IMDS=http://169.254.169.254/latest
readonly UPDATE_SECONDS=180
readonly PROVEN_SECONDS=10
readonly WATCH_SECONDS=${EXUVIA_WATCH_SECONDS:-600}
export AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=5 AWS_PAGER='' DEBIAN_FRONTEND=noninteractive

step=download
mkdir -p "$WORK"
: >"$WORK/output"

# --- How it fails ------------------------------------------------------------------------------------------------

# fail SENTENCE: the boot ends here. The last lines of $WORK/output go with the sentence.
fail() {
  trap - ERR
  { echo "exuvia: boot failed at $step: $1" && tail -n 20 "$WORK/output"; } >&2
  if [[ -n ${ledger:-} ]]; then
    python3 - "$instance" "$step" "$1" "$WORK/output" >"$WORK/report.json" <<'PYTHON'
import datetime, json, sys
instance, step, error, output = sys.argv[1:]
lines = open(output, errors="replace").read().splitlines()[-20:]
now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
json.dump({"instanceId": instance, "step": step, "error": error, "output": [l[:500] for l in lines], "at": now}, sys.stdout)
PYTHON
    retry aws s3api put-object --bucket "$ledger" --key "$app/$environment/boot/$number/$instance.json" \
      --content-type application/json --body "$WORK/report.json" || echo "exuvia: the boot report could not be written"
  fi
  exit 1
}
# In a subshell, only the subshell ends.
trap 'if ((BASH_SUBSHELL == 0)); then fail "boot.sh stopped unexpectedly in line $LINENO"; fi' ERR

# retry COMMAND...: up to five times, as packages, credentials and the network may be seconds late on a new instance.
# What the last try printed stays in $WORK/output.
retry() {
  local try
  for try in 1 2 3 4 5; do
    if "$@" >"$WORK/output" 2>&1; then return 0; fi
    sleep "$((try * 2))"
  done
  return 1
}

# --- Who am I ----------------------------------------------------------------------------------------------------

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-v2-how-it-works.html
imds() { curl --silent --show-error --fail --max-time 5 --retry 10 --retry-delay 2 --retry-all-errors "$@"; }
metadata() { imds --header "X-aws-ec2-metadata-token: $token" "$IMDS/meta-data/$1"; }
untagged() { fail "the tag exuvia:$1 is missing: only a group that Exuvia made can run this"; }

identify() {
  token=$(imds --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 21600' "$IMDS/api/token")
  AWS_DEFAULT_REGION=$(metadata placement/region)
  export AWS_DEFAULT_REGION
  instance=$(metadata instance-id)
  app=$(metadata tags/instance/exuvia:app) || untagged app
  environment=$(metadata tags/instance/exuvia:environment) || untagged environment
  release=$(metadata tags/instance/exuvia:release) || untagged release
  number=$(printf '%06d' "$release")
  ledger=$(metadata tags/instance/exuvia:ledger) || untagged ledger
}

# --- What the system needs ---------------------------------------------------------------------------------------

# A mirror that hangs must not cost the deploy its deadline: what is not done in time waits for the next instance.
update() {
  if command -v dnf; then
    timeout "$UPDATE_SECONDS" dnf --assumeyes --quiet --releasever=latest --security upgrade
  else
    timeout "$UPDATE_SECONDS" sh -c 'apt-get -o DPkg::Lock::Timeout=60 --quiet update && unattended-upgrade'
  fi >"$WORK/output" 2>&1 || echo "exuvia: security updates were not finished: $(tail -n 1 "$WORK/output")"
}

install_package() {
  if command -v dnf; then dnf --assumeyes --quiet install "$1"; else
    apt-get -o DPkg::Lock::Timeout=60 --quiet update && apt-get -o DPkg::Lock::Timeout=60 --quiet --yes install "$1"
  fi
}

# Ubuntu has no package of it: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html
install_aws_cli() {
  install_package awscli && return 0
  install_package unzip
  curl --silent --show-error --fail --location --output "$WORK/aws.zip" \
    "https://awscli.amazonaws.com/awscli-exe-linux-$(uname -m).zip"
  unzip -q -o "$WORK/aws.zip" -d "$WORK" && "$WORK/aws/install" --update
}

prepare() {
  local docker=docker.io
  if command -v dnf >/dev/null; then docker=docker; fi
  update
  command -v docker >/dev/null || retry install_package "$docker" || fail "docker could not be installed"
  command -v aws >/dev/null || retry install_aws_cli || fail "the AWS CLI could not be installed"
  retry systemctl enable --now docker || fail "docker does not start"
}

# --- What to run -------------------------------------------------------------------------------------------------

# field PATH: a value of the manifest, or nothing.
field() {
  python3 - "$WORK/manifest.json" "$1" <<'PYTHON'
import json, sys
value = json.load(open(sys.argv[1]))
for name in sys.argv[2].split("."):
    value = value.get(name) if isinstance(value, dict) else None
print("" if value is None else value)
PYTHON
}

# download NAME: the bytes that the manifest pins as NAME, to $WORK/NAME, and their SHA-256 to $WORK/NAME.sha256.
# The CLI writes the object to descriptor 3, the pipe, and a description of it to standard output.
download() {
  aws s3api get-object --bucket "$(field "$1.bucket")" --key "$(field "$1.key")" --version-id "$(field "$1.versionId")" \
    /dev/fd/3 3>&1 >/dev/null | tee "$WORK/$1" | sha256sum | cut -d ' ' -f 1 >"$WORK/$1.sha256"
}

fetch() {
  step=download
  retry download "$1" || fail "the $1 $(field "$1.key") could not be downloaded: may the instance's role read it?"
  step=verify
  [[ $(<"$WORK/$1.sha256") == "$(field "$1.sha256")" ]] ||
    fail "the $1 $(field "$1.key") is not what the manifest pins: its SHA-256 is $(<"$WORK/$1.sha256")"
}

read_manifest() {
  retry aws s3api get-object --bucket "$ledger" --key "$app/$environment/releases/$number.json" "$WORK/manifest.json" ||
    fail "the manifest of release $release could not be read: may the instance's role read the ledger?"
}

load() {
  step=load
  docker load --input "$WORK/artifact" >"$WORK/output" 2>&1 || fail "docker cannot load $(field artifact.key)"
  rm "$WORK/artifact"
  image=$(sed -n 's/^Loaded image\( ID\)\{0,1\}: //p' "$WORK/output" | head -n 1)
  [[ -n $image ]] || fail "$(field artifact.key) holds no image: make it with docker save"
}

# The settings are secrets: they are never printed, and only root may read them.
configure() {
  rm -f "$WORK/env"
  if [[ -n $(field config.key) ]]; then
    fetch config
    step=configure
    grep -v -E '^(PORT|RELEASE|VERSION)=' "$WORK/config" >"$WORK/env" || [[ $? == 1 ]]
    rm "$WORK/config"
  fi
  step=configure
  printf '%s\n' "PORT=$(field target.port)" "RELEASE=$release" "VERSION=$(field version)" >>"$WORK/env"
}

run() {
  step=run
  run_at=$(date +%s)
  docker run --detach --name "$app" --net host --restart always --env-file "$WORK/env" \
    --log-driver awslogs --log-opt "awslogs-region=$AWS_DEFAULT_REGION" --log-opt "awslogs-group=/exuvia/$app/$environment" \
    --log-opt "awslogs-stream=$number/$instance" --log-opt mode=non-blocking \
    "$image" >"$WORK/output" 2>&1 || fail "docker cannot run the image $image"
}

# watch: for a while after the first start. A start may take a second try, as when it waits for another service; but
# what was up and ends by itself will do so again, and behind docker's restarts it looks healthy. Docker goes on
# restarting it either way.
watch() {
  local exits exit code died up_since why
  while true; do
    docker inspect "$app" >"$WORK/output" 2>&1 || fail "the container is gone"
    mapfile -t exits < <(docker events --since "$run_at" --until "$(date +%s)" --filter "container=$app" \
      --filter event=die --format '{{.Actor.Attributes.exitCode}} {{.Time}}')
    why='' up_since=$run_at
    for exit in "${exits[@]}"; do
      read -r code died <<<"$exit"
      if ((died - up_since >= PROVEN_SECONDS)); then why="the container exited with code $code after $((died - up_since)) s"; fi
      up_since=$died
    done
    if ((${#exits[@]} >= 3)); then why=${why:-"the container exited with code $code three times"}; fi
    if [[ -n $why ]]; then
      docker logs --tail 20 "$app" >"$WORK/output" 2>&1 || true
      fail "$why"
    fi
    if (($(date +%s) >= run_at + WATCH_SECONDS)); then return 0; fi
    sleep 1
  done
}

identify
prepare
read_manifest
fetch artifact
load
configure
run
watch
echo "exuvia: release $release of $app in $environment runs"
