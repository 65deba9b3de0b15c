#!/usr/bin/env bash
# The user data of a builder: an instance that builds one image and is then deleted. It is the same for all apps; what to
# build, the instance learns from its own tags and from the order in the ledger:
#
#   tags -> order, its signature verified -> security updates, docker -> source, verified -> docker build -> docker save
#   -> the artifacts bucket, where the upload starts a deploy -> report
#
# Whatever comes of it is reported in the ledger, where the build's execution reads it, and on the instance's console.
# The functions that infra/boot.sh has as well are the same there; `cargo xtask lint` compares them.
set -Eeuo pipefail

readonly WORK=${EXUVIA_DIRECTORY:-/run/exuvia}
# On the disk: what is too large for memory.
readonly SPACE=${EXUVIA_SPACE:-/var/lib/exuvia}
readonly IMDS=http://169.254.169.254/latest
readonly UPDATE_SECONDS=180
export AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=2 AWS_PAGER='' DEBIAN_FRONTEND=noninteractive BUILDKIT_PROGRESS=plain

install --directory --mode 0700 "$WORK" "$SPACE"
: >"$WORK/output"

# --- How it ends ---

begin() { step=$1 && echo "exuvia: $step"; }
begin identify

# report STATUS SENTENCE: what has come of the build. Of one that failed the last lines of $WORK/output go with it.
report() {
  python3 - "${instance:-}" "$1" "$step" "$2" "$(date --utc +%FT%TZ)" "$WORK" >"$WORK/report.json" <<'PYTHON'
import json, os, sys
instance, status, step, error, at, work = sys.argv[1:]
report = {"instanceId": instance, "status": status, "at": at}
if status == "built":
    report["artifact"] = json.load(open(work + "/artifact"))
else:
    output = open(work + "/output", errors="replace").read().splitlines()[-50:]
    output = [line[:500] for line in output]
    report.update(step=step, error=error, output=output)
    print(*output, sep="\n", file=sys.stderr)
json.dump(report, sys.stdout)
PYTHON
  if [[ -n ${ledger:-} ]]; then
    retry aws s3api put-object --bucket "$ledger" --key "$app/$environment/builds/$build/report.json" \
      --content-type application/json --body "$WORK/report.json" ||
      echo "exuvia: the report could not be written: $(explain)" >&2
  fi
}

# fail SENTENCE: the build ends here.
fail() {
  trap - ERR
  set +e
  echo "exuvia: build failed at $step: $1" >&2
  report failed "$1"
  exit 1
}
# In a subshell, only the subshell ends.
trap 'if ((BASH_SUBSHELL == 0)); then fail "build.sh stopped unexpectedly in line $LINENO"; fi' ERR

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
  app=$(tag exuvia:app) || exit
  environment=$(tag exuvia:environment) || exit
  build=$(tag exuvia:build) || exit
  ledger=$(tag exuvia:ledger) || exit
}

# --- What to build ---

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

# Whoever can write to the ledger could have anything built, and so deployed. So the order is signed, and only the tag
# says by which key.
read_order() {
  local key
  begin download
  type -P aws >/dev/null || retry install_aws_cli || fail "the AWS CLI could not be installed: $(explain)"
  retry aws s3api get-object --bucket "$ledger" --key "$app/$environment/builds/$build/build.json" --output json \
    "$WORK/manifest" || fail "the order of build $build could not be read: $(explain)"
  begin verify
  key=$(tag exuvia:signing-key) || exit
  field Metadata.signature answer | base64 --decode >"$WORK/signature" 2>"$WORK/output" && [[ -s $WORK/signature ]] ||
    fail "the order of build $build is not signed: upload the source again"
  python3 -c 'import hashlib, sys; sys.stdout.buffer.write(hashlib.sha256(sys.stdin.buffer.read()).digest())' \
    <"$WORK/manifest" >"$WORK/digest"
  retry aws kms verify --key-id "$key" --message "fileb://$WORK/digest" --message-type DIGEST \
    --signing-algorithm ECDSA_SHA_256 --signature "fileb://$WORK/signature" --query SignatureValid --output text ||
    grep -q InvalidSignature "$WORK/output" || fail "the order's signature could not be verified with $key: $(explain)"
  [[ $(<"$WORK/answer") == True ]] ||
    fail "the order of build $build is not what $key signed: find out who wrote to the ledger"
  # The order of another build is signed as well.
  [[ "$(field build) of $(field app) in $(field environment)" == "$build of $app in $environment" ]] ||
    fail "the order of build $build is that of build $(field build) of $(field app) in $(field environment): \
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
  update
  command -v docker >/dev/null || retry install_package "$docker" || fail "docker could not be installed: $(explain)"
  systemctl enable --now docker >"$WORK/output" 2>&1 || {
    journalctl --unit docker --lines 20 --no-pager >>"$WORK/output" 2>&1 || true
    fail "docker does not start: $(explain "see the last lines of its journal")"
  }
}

# --- The build ---

# download NAME: the bytes that the manifest pins as NAME, to $WORK/NAME, and their SHA-256 to $WORK/NAME.sha256.
# The CLI writes the object to descriptor 3, the pipe, and a description of it to standard output.
download() {
  aws s3api get-object --bucket "$(field "$1.bucket")" --key "$(field "$1.key")" --version-id "$(field "$1.versionId")" \
    /dev/fd/3 3>&1 >/dev/null | tee "$WORK/$1" | sha256sum | cut -d ' ' -f 1 >"$WORK/$1.sha256"
}

fetch() {
  begin download
  # It is written through the link, to the disk.
  ln -s -f "$SPACE/source" "$WORK/source"
  retry download source || fail "the source $(field source.key) could not be downloaded: $(explain)"
  begin verify
  [[ $(<"$WORK/source.sha256") == "$(field source.sha256)" ]] ||
    fail "the source $(field source.key) is not what the order pins: its SHA-256 is $(<"$WORK/source.sha256")"
}

# The context: what the archive holds, or the only directory in it.
unpack_source() {
  local entries
  begin unpack
  context=$SPACE/context
  rm -r -f "$context"
  mkdir "$context"
  tar --extract --gzip --no-same-owner --file "$SPACE/source" --directory "$context" >"$WORK/output" 2>&1 ||
    fail "the source $(field source.key) cannot be unpacked: $(explain "is it a tar archive that gzip has packed?")"
  rm "$SPACE/source"
  mapfile -t entries < <(ls -A "$context")
  if [[ ! -e $context/Dockerfile && ${#entries[@]} == 1 && -d $context/${entries[0]} ]]; then context+=/${entries[0]}; fi
  [[ -f $context/Dockerfile ]] || {
    printf '%s\n' "${entries[@]}" >"$WORK/output"
    fail "the source $(field source.key) has no Dockerfile at its top: pack the directory that has it"
  }
}

build_image() {
  begin build
  image=$app:$(field version)
  docker build --tag "$image" "$context" >"$WORK/output" 2>&1 ||
    fail "docker cannot build it: $(explain "see the last lines of its output")"
}

# By way of the disk: a stream that breaks off would leave half an image as the artifact, and that would be deployed.
upload() {
  local key
  begin save
  { docker save "$image" | gzip >"$SPACE/image"; } 2>"$WORK/output" || fail "docker cannot save the image: $(explain)"
  begin upload
  key=$(field artifact.key)
  printf '{"key":"%s","size":%s,"sha256":"%s"}\n' "$key" "$(wc --bytes <"$SPACE/image")" \
    "$(sha256sum "$SPACE/image" | cut -d ' ' -f 1)" >"$WORK/artifact"
  retry aws s3 cp --no-progress --metadata "exuvia-build=$build" "$SPACE/image" "s3://$(field artifact.bucket)/$key" ||
    fail "the image could not be uploaded to $key: $(explain)"
}

identify
read_order
prepare
fetch
unpack_source
build_image
upload
begin report
report built ''
echo "exuvia: $app $(field version) is built"
