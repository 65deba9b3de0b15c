#!/usr/bin/env bash
# The user data of every instance: Amazon Linux 2023, Debian or Ubuntu. It is the same for all apps and releases;
# what to run, the instance learns from its own tags and from the release's manifest in the ledger:
#
#   tags -> manifest, its signature verified -> security updates, docker -> artifact, verified while it streams into
#   docker load -> config -> docker run -> the group's launch lifecycle hook may go on
#
# A boot that fails says why in the ledger, where the deploy reads it, and on the console. It runs at the first start;
# after that docker starts the container. A second run replaces the container.
set -Eeuo pipefail

# In memory: no secret gets on the disk from here, and a full disk keeps nobody from saying so.
readonly WORK=${EXUVIA_DIRECTORY:-/run/exuvia}
readonly IMDS=http://169.254.169.254/latest
readonly UPDATE_SECONDS=180
readonly PROVEN_SECONDS=10
readonly WATCH_SECONDS=${EXUVIA_WATCH_SECONDS:-600}
export AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=2 AWS_PAGER='' DEBIAN_FRONTEND=noninteractive

install --directory --mode 0700 "$WORK"
: >"$WORK/output"

# --- How it fails ---

begin() { step=$1 && echo "exuvia: $step"; }
begin identify

# fail SENTENCE: the boot ends here. The last lines of $WORK/output go with it, but for the values of settings, if they
# have 6 characters or more: many read the report.
fail() {
  trap - ERR
  set +e
  # What a shutdown takes away, docker for one, is no fault of the release.
  if [[ $(systemctl is-system-running 2>/dev/null) == stopping ]]; then exit 1; fi
  echo "exuvia: boot failed at $step: $1" >&2
  cat "$WORK"/{config,env} >"$WORK/secrets" 2>/dev/null
  python3 -I -S - "${instance:-}" "$step" "$1" "$(date --utc +%FT%TZ)" "$WORK" >"$WORK/report.json" <<'PYTHON'
import json, sys
instance, step, error, at, work = sys.argv[1:]
def lines(name):
    return open(work + "/" + name, errors="replace").read().splitlines()
secrets = set()
for line in lines("secrets"):
    name, _, value = line.partition("=")
    if name not in ("PORT", "RELEASE", "VERSION"):
        secrets |= {value, value.strip("\"' "), json.dumps(value)[1:-1]}
output = [line for line in lines("output") if line and "docker run --help" not in line][-20:]
for secret in sorted(secrets, key=len, reverse=True):
    if len(secret) >= 6:
        output = [line.replace(secret, "***") for line in output]
output = [line[:500] for line in output]
json.dump({"instanceId": instance, "step": step, "error": error, "output": output, "at": at}, sys.stdout)
print(*output, sep="\n", file=sys.stderr)
PYTHON
  if [[ -n ${ledger:-} ]]; then
    retry aws s3api put-object --bucket "$ledger" --key "$app/$environment/boot/$number/$instance.json" \
      --content-type application/json --body "$WORK/report.json" ||
      echo "exuvia: the boot report could not be written: $(explain)" >&2
  fi
  answer_hooks ABANDON
  exit 1
}
# In a subshell, only the subshell ends.
trap 'if ((BASH_SUBSHELL == 0)); then fail "boot.sh stopped unexpectedly in line $LINENO"; fi' ERR

# retry COMMAND...: for more than a minute, as packages, credentials and the network may be late on a new instance; but
# not where waiting mends nothing. The last try's answer is in $WORK/answer, its errors in $WORK/output.
retry() {
  local pause
  for pause in 0 2 4 6 8 10 10 10 10 10; do
    sleep "$pause"
    if "$@" >"$WORK/answer" 2>"$WORK/output"; then return 0; fi
    case $(<"$WORK/output") in
      *NoSuch* | *DisabledException* | *InvalidSignature* | *[Nn]'o space left'*) return 1 ;;
      # A new role's permissions are seconds late, not more.
      *AccessDenied*) if ((pause >= 8)); then return 1; fi ;;
    esac
  done
  return 1
}

# explain [ELSE]: what $WORK/output means and what to do about it, for whoever is on call.
explain() {
  local device size mount
  case $(<"$WORK/output") in
    *[Nn]'o space left'* | *'more space needed'* | *'enough free space'*)
      read -r device size mount < <(df --human-readable --output=source,size,target /var/lib/docker /var/lib 2>/dev/null | sed -n 2p)
      echo "no space left on device $device ($size, mounted at $mount); raise DiskGiB" ;;
    *DisabledException* | *KMSInvalidState*)
      echo "the KMS key is disabled or to be deleted; enable it, then deploy again" ;;
    *NoSuch*) echo "it was deleted; upload it again, or deploy another release" ;;
    *'logging driver'*)
      echo "the log driver does not start; see what it lacks, or change LogDriver" ;;
    *AccessDenied*) echo "access denied; it was deleted, or the InstanceRole or the KMS key's policy does not allow it" ;;
    *'locate credentials'*) echo "the instance has no role; name the InstanceProfile in the launch template" ;;
    *'exec format error'*) echo "a program in it is for another architecture than this instance's $(uname -m)" ;;
    *[Nn]'o command specified'*) echo "the image has neither ENTRYPOINT nor CMD; add one to the Dockerfile" ;;
    *'ould not connect'* | *'nable to connect'* | *imeout* | *'imed out'* | *'not resolve'*)
      echo "no answer; the subnet needs a NAT gateway or VPC endpoints, the security group must let HTTPS out" ;;
    *) echo "${1:-see the output}" ;;
  esac
}

# --- Who it is ---

# Whether the program is there, `type -P` tells.
aws() { command aws "$@" --cli-connect-timeout 10; }

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-v2-how-it-works.html
imds() {
  curl --silent --show-error --fail --noproxy '*' --max-time 5 --retry 10 --retry-delay 2 --retry-all-errors "$@"
}
metadata() { imds --header "X-aws-ec2-metadata-token: $token" "$IMDS/meta-data/$1"; }
tag() { metadata "tags/instance/$1" || fail "the tag $1 is missing: only a group that Exuvia made can run this"; }

identify() {
  token=$(imds --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 21600' "$IMDS/api/token") ||
    fail "the instance metadata service does not answer: the launch template must leave it on"
  AWS_DEFAULT_REGION=$(metadata placement/region)
  export AWS_DEFAULT_REGION
  instance=$(metadata instance-id)
  group=$(metadata tags/instance/aws:autoscaling:groupName) || group=''
  app=$(tag exuvia:app) || exit
  environment=$(tag exuvia:environment) || exit
  release=$(tag exuvia:release) || exit
  number=$(printf '%06d' "$release")
  ledger=$(tag exuvia:ledger) || exit
}

# answer_hooks CONTINUE|ABANDON: to the group's launch lifecycle hooks, if any; once. The boot is good or bad all the same.
answer_hooks() {
  local hook asked=${group:-}
  group=''
  [[ -n $asked ]] || return 0
  retry aws autoscaling describe-lifecycle-hooks --auto-scaling-group-name "$asked" --output text \
    --query "LifecycleHooks[?LifecycleTransition=='autoscaling:EC2_INSTANCE_LAUNCHING'].LifecycleHookName" ||
    echo "exuvia: the lifecycle hooks of $asked cannot be listed: $(explain)" >&2
  for hook in $(<"$WORK/answer"); do
    retry aws autoscaling complete-lifecycle-action --auto-scaling-group-name "$asked" --lifecycle-hook-name "$hook" \
      --lifecycle-action-result "$1" --instance-id "$instance" ||
      echo "exuvia: the lifecycle hook $hook could not be told $1: $(tail -n 1 "$WORK/output")" >&2
  done
}

# --- Which release ---

# field PATH [FILE]: a value of the manifest, or of another file of JSON; nothing if it is not there.
field() {
  python3 -I -S - "$WORK/${2:-manifest}" "$1" <<'PYTHON'
import json, sys
value = json.load(open(sys.argv[1]))
for name in sys.argv[2].split("."):
    value = value.get(name) if isinstance(value, dict) else None
print("" if value is None else value)
PYTHON
}

# Whoever can write to the ledger could have anything run. So the manifest is signed, and only the tag says by which key.
read_manifest() {
  local key
  begin download
  type -P aws >/dev/null || retry install_aws_cli || fail "the AWS CLI could not be installed: $(explain)"
  retry aws s3api get-object --bucket "$ledger" --key "$app/$environment/releases/$number.json" --output json \
    "$WORK/manifest" || fail "the manifest of release $release could not be read: $(explain)"
  begin verify
  key=$(tag exuvia:signing-key) || exit
  field Metadata.signature answer | base64 --decode >"$WORK/signature" 2>"$WORK/output" && [[ -s $WORK/signature ]] ||
    fail "the manifest of release $release is not signed: deploy the version again"
  python3 -I -S -c 'import hashlib, sys; sys.stdout.buffer.write(hashlib.sha256(sys.stdin.buffer.read()).digest())' \
    <"$WORK/manifest" >"$WORK/digest"
  retry aws kms verify --key-id "$key" --message "fileb://$WORK/digest" --message-type DIGEST \
    --signing-algorithm ECDSA_SHA_256 --signature "fileb://$WORK/signature" --query SignatureValid --output text ||
    grep -q InvalidSignature "$WORK/output" || fail "the manifest's signature could not be verified with $key: $(explain)"
  [[ $(<"$WORK/answer") == True ]] ||
    fail "the manifest of release $release is not what $key signed: find out who wrote to the ledger"
  # The manifest of another release is signed as well.
  [[ "$(field release) of $(field app) in $(field environment)" == "$release of $app in $environment" ]] ||
    fail "the manifest of release $release is that of release $(field release) of $(field app) in $(field environment): \
find out who wrote to the ledger"
}

# --- What the system needs ---

install_package() {
  if command -v dnf; then dnf --assumeyes --quiet install "$1"; else
    apt-get -o DPkg::Lock::Timeout=60 --quiet update && apt-get -o DPkg::Lock::Timeout=60 --quiet --yes install "$1"
  fi
}

# Ubuntu has no package of it: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html
install_aws_cli() {
  local unpacked=/var/tmp/exuvia-aws
  install_package awscli && return 0
  install_package unzip && mkdir -p "$unpacked" &&
    curl --silent --show-error --fail --location --output "$unpacked/aws.zip" \
      "https://awscli.amazonaws.com/awscli-exe-linux-$(uname -m).zip" &&
    unzip -q -o "$unpacked/aws.zip" -d "$unpacked" && "$unpacked/aws/install" --update && rm -r "$unpacked"
}

# A mirror that hangs must not cost the deploy its deadline: what is not done in time waits for the next instance.
update() {
  if command -v dnf; then
    timeout --kill-after 30 "$UPDATE_SECONDS" dnf --assumeyes --quiet --releasever=latest --security upgrade
  else
    # What is cut off keeps docker from being installed.
    timeout --kill-after 30 "$UPDATE_SECONDS" sh -c 'apt-get -o DPkg::Lock::Timeout=60 --quiet update &&
      { command -v unattended-upgrade || apt-get --quiet --yes install unattended-upgrades; } && unattended-upgrade' ||
      { dpkg --configure -a && false; }
  fi >"$WORK/output" 2>&1 || echo "exuvia: security updates were not finished: $(tail -n 1 "$WORK/output")"
}

prepare() {
  local docker=docker.io
  begin prepare
  if command -v dnf >/dev/null; then docker=docker; fi
  [[ $(field target.securityUpdates) == False ]] || update
  command -v docker >/dev/null || retry install_package "$docker" || fail "docker could not be installed: $(explain)"
  systemctl enable --now docker >"$WORK/output" 2>&1 || {
    journalctl --unit docker --lines 20 --no-pager >>"$WORK/output" 2>&1 || true
    fail "docker does not start: $(explain "see the last lines of its journal")"
  }
}

# --- What to run ---

# download NAME: the bytes that the manifest pins as NAME, to $WORK/NAME, and their SHA-256 to $WORK/NAME.sha256.
# The CLI writes the object to descriptor 3, the pipe, and a description of it to standard output.
download() {
  aws s3api get-object --bucket "$(field "$1.bucket")" --key "$(field "$1.key")" --version-id "$(field "$1.versionId")" \
    /dev/fd/3 3>&1 >/dev/null | tee "$WORK/$1" | sha256sum | cut -d ' ' -f 1 >"$WORK/$1.sha256"
}

fetch() {
  begin download
  retry "$2" "$1" || fail "the $1 $(field "$1.key") could not be downloaded: $(explain)"
  begin verify
  [[ $(<"$WORK/$1.sha256") == "$(field "$1.sha256")" ]] || {
    [[ $1 != artifact ]] || loaded_names | xargs --no-run-if-empty docker image rm --force >/dev/null 2>&1 || true
    fail "the $1 $(field "$1.key") is not what the manifest pins: its SHA-256 is $(<"$WORK/$1.sha256")"
  }
}

# The archive streams through sha256sum into docker, with no copy on the disk. Nothing is run before it is verified.
stream() {
  rm -f "$WORK/$1"
  mkfifo "$WORK/$1"
  unpack <"$WORK/$1" >"$WORK/loaded" 2>&1 &
  download "$1" || { wait "$!" || true; return 1; }
  wait "$!" && loaded=true || loaded=false
}

# unpack: standard input into docker, which knows gzip, but zstd only from version 23 on. What it leaves is read as well,
# so that the download fails by itself or not at all.
unpack() {
  local result=0
  head -c 4 >"$WORK/magic"
  case $(od -A n -t x1 "$WORK/magic" | tr -d ' ') in
    28b52ffd | 5?2a4d18)
      command -v zstd || install_package zstd
      cat "$WORK/magic" - | zstd --decompress --stdout | docker load || result=$? ;;
    *) cat "$WORK/magic" - | docker load || result=$? ;;
  esac
  cat >/dev/null
  return "$result"
}
loaded_names() { sed -n 's/^Loaded image\( ID\)\{0,1\}: //p' "$WORK/loaded"; }

load() {
  local architecture names artifact
  fetch artifact stream
  begin load
  artifact=$(field artifact.key)
  cp "$WORK/loaded" "$WORK/output"
  $loaded || fail "docker cannot load $artifact: $(explain "is it what docker save writes?")"
  mapfile -t names < <(loaded_names)
  image=${names[0]:-}
  [[ -n $image ]] || fail "$artifact holds no image: make it with docker save"
  docker image inspect --format '{{.Id}} {{.Architecture}}' "${names[@]}" >"$WORK/images" 2>"$WORK/output"
  (($(cut -d ' ' -f 1 "$WORK/images" | sort -u | wc -l) == 1)) ||
    fail "$artifact holds several images (${names[*]}): save one"
  read -r _ architecture <"$WORK/images"
  case $(uname -m)/$architecture in
    x86_64/amd64 | x86_64/386 | aarch64/arm64 | */) ;;
    *) fail "the image $image is for another architecture, $architecture, than the instance's $(uname -m): build it with \
docker build --platform, or change Architecture, AmiId and InstanceType" ;;
  esac
}

# The settings are secrets: never printed, for root only.
configure() {
  local port
  : >"$WORK/config"
  [[ -z $(field config.key) ]] || fetch config download
  begin configure
  install --mode 0600 /dev/null "$WORK/env"
  grep --text -v -E '^(PORT|RELEASE|VERSION)=' "$WORK/config" >"$WORK/env" || [[ $? == 1 ]]
  # A worker has none.
  port=$(field target.port)
  printf '%s\n' ${port:+"PORT=$port"} "RELEASE=$release" "VERSION=$(field version)" >>"$WORK/env"
  rm "$WORK/config"
}

run() {
  local driver log
  begin run
  driver=$(field target.logDriver)
  log=(--log-driver "${driver:=awslogs}" --log-opt "tag=$app/$environment/$number/$instance" --log-opt mode=non-blocking)
  [[ $driver != awslogs ]] || log+=(--log-opt "awslogs-region=$AWS_DEFAULT_REGION"
    --log-opt "awslogs-group=/exuvia/$app/$environment" --log-opt "awslogs-stream=$number/$instance")
  docker rm --force "$app" >/dev/null 2>&1 || true
  run_at=$(date +%s)
  docker run --detach --name "$app" --net host --restart always --pull never --env-file "$WORK/env" "${log[@]}" \
    "$image" >"$WORK/container" 2>"$WORK/output" || fail "docker cannot run the image $image: $(explain)"
  container=$(<"$WORK/container")
}

# watch: for a while after the first start. A start may take a second try, as when it waits for another service; but
# what was up and ends by itself will do so again, and behind docker's restarts it looks healthy.
watch() {
  local exits exit code died nano up_since why
  while true; do
    docker container inspect "$container" >"$WORK/output" 2>&1 || fail "the container is gone: something removed it"
    mapfile -t exits < <(docker events --since "$run_at" --until "$(date +%s)" --filter "container=$container" \
      --filter event=die --format '{{.Actor.Attributes.exitCode}} {{.Time}} {{.TimeNano}}')
    why='' up_since=$run_at
    for exit in "${exits[@]}"; do
      read -r code died nano <<<"$exit"
      if ((died - up_since >= PROVEN_SECONDS)); then why="the container exited with code $code after $((died - up_since)) s"; fi
      up_since=$died
    done
    if ((${#exits[@]} >= 3)); then why=${why:-"the container exited with code $code three times"}; fi
    if [[ -n $why ]]; then
      # Up to its end: what the next start has said by now would hide why it ended.
      docker logs --tail 20 --until "$died.${nano:10}" "$container" >"$WORK/output" 2>&1 || true
      if grep -q 'exec format error' "$WORK/output"; then why+=": $(explain)"; fi
      fail "$why"
    fi
    if (($(date +%s) >= run_at + WATCH_SECONDS)); then return 0; fi
    sleep 1
  done
}

identify
read_manifest
prepare
load
configure
run
answer_hooks CONTINUE
watch
echo "exuvia: release $release of $app in $environment runs"
