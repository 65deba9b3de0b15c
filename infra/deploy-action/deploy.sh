#!/usr/bin/env bash
# Uploads an image and waits for what comes of it: from any CI, or from a laptop. It needs bash, the AWS CLI with
# credentials that have the app's UploaderPolicy (infra/app.yaml), and docker if it is to save the image itself.
#
#   EXUVIA_ARTIFACTS_BUCKET=... EXUVIA_STATE_MACHINE_ARN=arn:... EXUVIA_APP=hello EXUVIA_ENVIRONMENT=qa \
#     EXUVIA_VERSION=3f2a1c EXUVIA_IMAGE=hello:3f2a1c infra/deploy-action/deploy.sh
#
#   EXUVIA_ARTIFACTS_BUCKET    outputs of the pipeline's stack; the second may be left out if nobody waits
#   EXUVIA_STATE_MACHINE_ARN
#   EXUVIA_APP, EXUVIA_ENVIRONMENT, EXUVIA_VERSION    what is deployed, and where
#   EXUVIA_IMAGE               an image that docker has here; or
#   EXUVIA_ARCHIVE             a file of docker save: .tar, .tar.gz or .tar.zst
#   EXUVIA_WAIT                true, or false to end when it is uploaded
#   EXUVIA_TIMEOUT_SECONDS     3600: for so long it waits; the deploy goes on all the same
#   EXUVIA_POLL_SECONDS        5: from one look to the next
#   EXUVIA_FAIL_IF_SUPERSEDED  true: this version is not live, whatever went first
#   EXUVIA_UPLOADED_BY         who and from where: notices tell it. In a GitHub workflow its actor and its run
#   EXUVIA_UPLOADED_FROM
#
# It ends with 0 if the version is live (or uploaded, if nobody waits), with 1 if not, and with 2 if something is wrong with
# what it was given. In a GitHub workflow it sets outputs and writes a summary as well (action.yml).
set -euo pipefail

readonly STARTS_WITHIN=600 # seconds; events may be minutes late
readonly LARGEST=5368709120 # bytes, of one put-object
export AWS_PAGER=''

say() { printf '%s\n' "$*"; }
wrong() {
  printf 'exuvia: %s\n' "$*" >&2
  exit 2
}

# --- What it was given ---

need() { [[ -n ${!1:-} ]] || wrong "$1 is not set: $2"; }
is_true() {
  case $2 in
    true) return 0 ;;
    false) return 1 ;;
    *) wrong "$1 is '$2'; use true or false" ;;
  esac
}
# is NAME PATTERN LONGEST WHAT
is() {
  local LC_ALL=C value=${!1}
  if ! [[ $value =~ ^($2)$ ]] || ((${#value} > $3)); then wrong "$1 is '$value'; use $4"; fi
}
seconds() { [[ ${!1} =~ ^[1-9][0-9]{0,5}$ ]] || wrong "$1 is '${!1}'; use seconds, from 1 to 999999"; }

wait_for_it=${EXUVIA_WAIT:-true}
fail_if_superseded=${EXUVIA_FAIL_IF_SUPERSEDED:-true}
: "${EXUVIA_TIMEOUT_SECONDS:=3600}" "${EXUVIA_POLL_SECONDS:=5}"
is_true EXUVIA_WAIT "$wait_for_it" || true
is_true EXUVIA_FAIL_IF_SUPERSEDED "$fail_if_superseded" || true
seconds EXUVIA_TIMEOUT_SECONDS
seconds EXUVIA_POLL_SECONDS

# As functions/core/src/name.rs has them.
need EXUVIA_APP "the app's name, as in its stack"
need EXUVIA_ENVIRONMENT "the environment's name, as in the app's stack"
need EXUVIA_VERSION "what this version is called, such as the commit"
need EXUVIA_ARTIFACTS_BUCKET "the output ArtifactsBucket of the pipeline's stack"
is EXUVIA_APP '[a-z](-?[a-z0-9])*' 32 "a-z, 0-9 and single hyphens inside, beginning with a letter, 32 characters at most"
is EXUVIA_ENVIRONMENT '[a-z](-?[a-z0-9])*' 16 "a-z, 0-9 and single hyphens inside, beginning with a letter, 16 characters at most"
is EXUVIA_VERSION '[A-Za-z0-9][A-Za-z0-9._-]*' 128 "letters, digits, dots, underscores and hyphens, beginning with a letter or a digit, 128 characters at most"
is EXUVIA_ARTIFACTS_BUCKET '[a-z0-9][a-z0-9.-]+' 63 "the name of a bucket"
[[ $EXUVIA_VERSION != *.src ]] || wrong "EXUVIA_VERSION is '$EXUVIA_VERSION'; no version ends in .src, which marks a source"
if is_true EXUVIA_WAIT "$wait_for_it"; then
  need EXUVIA_STATE_MACHINE_ARN "the output StateMachineArn of the pipeline's stack, or EXUVIA_WAIT=false"
fi
if [[ -n ${EXUVIA_STATE_MACHINE_ARN:-} ]]; then
  is EXUVIA_STATE_MACHINE_ARN 'arn:[a-z-]+:states:[a-z0-9-]+:[0-9]{12}:stateMachine:[A-Za-z0-9_-]+' 200 \
    "the ARN of the state machine of the deploys, arn:...:stateMachine:..."
fi
place=$EXUVIA_APP/$EXUVIA_ENVIRONMENT
[[ -z ${EXUVIA_IMAGE:-} || -z ${EXUVIA_ARCHIVE:-} ]] || wrong "EXUVIA_IMAGE and EXUVIA_ARCHIVE exclude each other; give one"
[[ -n ${EXUVIA_IMAGE:-}${EXUVIA_ARCHIVE:-} ]] || wrong "neither EXUVIA_IMAGE nor EXUVIA_ARCHIVE is set: give one"
type -P aws >/dev/null || wrong "the AWS CLI is not installed: see https://docs.aws.amazon.com/cli/"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- What it tells ---

# report OUTCOME SENTENCE [CAUSE]: to whoever reads the log, and to a GitHub workflow. The cause may hold what the app has
# printed, which must not be taken for a command of the workflow, nor for markup.
report() {
  local mark
  if [[ -n ${GITHUB_OUTPUT:-} ]]; then
    printf '%s\n' "outcome=$1" "release=${release:-}" "execution-arn=${execution:-}" "console-url=${console:-}" >>"$GITHUB_OUTPUT"
  fi
  if [[ -n ${GITHUB_STEP_SUMMARY:-} ]]; then
    {
      printf '### %s/%s: %s %s\n\n%s\n' "$EXUVIA_APP" "$EXUVIA_ENVIRONMENT" "$EXUVIA_VERSION" "$1" "$2"
      if [[ -n ${3:-} ]]; then echo && printf '%s\n' "$3" | tr -d '\r' | sed 's/^/    /'; fi
      if [[ -n ${console:-} ]]; then printf '\n[The execution in the console](%s)\n' "$console"; fi
    } >>"$GITHUB_STEP_SUMMARY"
  fi
  say "exuvia: $2"
  if [[ -n ${3:-} ]]; then
    mark=$(od -A n -N 16 -t x1 /dev/urandom | tr -d ' \n')
    if [[ -n ${GITHUB_ACTIONS:-} ]]; then say "::stop-commands::$mark"; fi
    printf '%s\n' "$3" | sed 's/^/  | /'
    if [[ -n ${GITHUB_ACTIONS:-} ]]; then say "::$mark::"; fi
  fi
  if [[ -n ${console:-} ]]; then say "exuvia: $console"; fi
}

# give_up OUTCOME SENTENCE [CAUSE]
give_up() {
  if [[ -n ${GITHUB_ACTIONS:-} ]]; then printf '::error title=Exuvia::%s\n' "$2"; fi
  report "$@"
  exit 1
}

# --- The upload ---

archive=${EXUVIA_ARCHIVE:-}
if [[ -n $archive ]]; then
  [[ $archive == /* ]] || archive=./$archive
  [[ -f $archive && -r $archive ]] || wrong "EXUVIA_ARCHIVE is '$archive', which is no file that can be read"
  case $archive in
    *.src.tar.gz) wrong "EXUVIA_ARCHIVE is '$archive', a source; upload it by aws s3 cp, which starts a build" ;;
    *.tar.gz | *.tgz) ending=.tar.gz ;;
    *.tar.zst) ending=.tar.zst ;;
    *.tar) ending=.tar ;;
    *) wrong "EXUVIA_ARCHIVE is '$archive'; give what docker save writes, as .tar, .tar.gz or .tar.zst" ;;
  esac
else
  [[ $EXUVIA_IMAGE != -* ]] || wrong "EXUVIA_IMAGE is '$EXUVIA_IMAGE'; give the name of an image"
  type -P docker >/dev/null || wrong "docker is not installed, so EXUVIA_IMAGE cannot be saved; give EXUVIA_ARCHIVE"
  docker image inspect "$EXUVIA_IMAGE" >/dev/null 2>"$work/error" ||
    wrong "EXUVIA_IMAGE is '$EXUVIA_IMAGE': $(tail -n 1 "$work/error")"
  say "exuvia: saving the image $EXUVIA_IMAGE"
  if type -P zstd >/dev/null; then
    ending=.tar.zst
    docker save "$EXUVIA_IMAGE" | zstd -q -T0 >"$work/image"
  else
    ending=.tar.gz
    docker save "$EXUVIA_IMAGE" | gzip >"$work/image"
  fi
  archive=$work/image
fi
size=$(wc -c <"$archive" | tr -d ' ')
((size > 0)) || wrong "$archive is empty"
((size <= LARGEST)) || wrong "$archive has $size bytes; an upload takes $LARGEST at most. Make the image smaller, or compress it by zstd"

# Metadata of the object travel as headers, where only printable ASCII is safe.
metadata=()
told() { # told NAME VALUE
  local LC_ALL=C value=${2//[^ -~]/}
  if [[ -n ${value// /} ]]; then metadata+=("\"$1\":$(quoted "${value:0:200}")"); fi
}
quoted() {
  local value=${1//\\/\\\\}
  printf '"%s"' "${value//\"/\\\"}"
}
run=${GITHUB_RUN_ID:+${GITHUB_SERVER_URL:-https://github.com}/${GITHUB_REPOSITORY:-}/actions/runs/$GITHUB_RUN_ID}
told uploaded-by "${EXUVIA_UPLOADED_BY-${GITHUB_ACTOR:-}}"
told uploaded-from "${EXUVIA_UPLOADED_FROM-$run}"

key=$place/$EXUVIA_VERSION$ending
say "exuvia: uploading $size bytes to s3://$EXUVIA_ARTIFACTS_BUCKET/$key"
# By put-object, as only that answers which version of the object it has made.
version_id=$(aws s3api put-object --bucket "$EXUVIA_ARTIFACTS_BUCKET" --key "$key" --body "$archive" \
  --metadata "{$(IFS=,; printf '%s' "${metadata[*]-}")}" --query VersionId --output text 2>"$work/error") ||
  give_up not-uploaded "the upload to s3://$EXUVIA_ARTIFACTS_BUCKET/$key was refused; who uploads needs the UploaderPolicy of $place" \
    "$(cat "$work/error")"
[[ -n $version_id && $version_id != None && $version_id != null ]] ||
  give_up not-uploaded "$EXUVIA_ARTIFACTS_BUCKET keeps no versions, so it is not the artifacts bucket of a pipeline"

if ! is_true EXUVIA_WAIT "$wait_for_it"; then
  report uploaded "$place: $EXUVIA_VERSION is uploaded, which starts its deploy"
  exit 0
fi

# --- The execution that it starts ---

# As UploadName in functions/core/src/request.rs makes it.
sha256() { if type -P sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
readable=$(printf %s "${place}/$EXUVIA_VERSION" | LC_ALL=C sed 's/[^A-Za-z0-9/]/-/g; s|/|_|g' | cut -c 1-52)
digest=$(printf '%s\n%s\n%s' "$EXUVIA_ARTIFACTS_BUCKET" "$key" "$version_id" | sha256 | cut -c 1-20)
execution=${EXUVIA_STATE_MACHINE_ARN/:stateMachine:/:execution:}:upload-$readable-$digest
IFS=: read -r _ partition _ region _ <<<"$EXUVIA_STATE_MACHINE_ARN"
case $partition in
  aws-cn) console=https://console.amazonaws.cn ;;
  aws-us-gov) console=https://console.amazonaws-us-gov.com ;;
  *) console=https://$region.console.aws.amazon.com ;;
esac
console="$console/states/home?region=$region#/v2/executions/details/$execution"

began=$SECONDS
trap 'say "exuvia: nobody waits any more; the deploy goes on: $console"; exit 130' INT TERM

states() { aws stepfunctions "$@" --region "$region" --execution-arn "$execution" --output text 2>"$work/error"; }

# Which states it has entered since the event $seen, but for those that only choose or wait, and each round of a loop once.
seen=0 told='' before=''
story() {
  local id name
  while read -r id name; do
    [[ $id =~ ^[0-9]+$ ]] || continue
    seen=$id
    last=$name
    case $name in
      "$told" | "$before" | *'?' | 'Wait '*) continue ;;
    esac
    before=$told told=$name
    printf '%4d:%02d  %s\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)) "$name"
  done < <(states get-execution-history --no-include-execution-data --reverse-order --max-items 100 \
    --query "reverse(events[?stateEnteredEventDetails && id > \`$seen\`].[id, stateEnteredEventDetails.name])")
}

status=''
while true; do
  waited=$((SECONDS - began))
  if status=$(states describe-execution --query status); then
    story
    # All is done but to shed the old fleet, which is kept for a while.
    if [[ ${last:-} == Retain ]]; then status=SUCCEEDED last=Succeeded; break; fi
    if [[ $status != RUNNING && $status != PENDING_REDRIVE ]]; then break; fi
  else
    status=''
    case $(cat "$work/error") in
      *ExecutionDoesNotExist*)
        if ((waited >= STARTS_WITHIN)); then
          give_up not-started "the upload has started no execution in $waited s: see the log of the pipeline's trigger, and its dead letters"
        fi ;;
      *ExpiredToken*)
        give_up unfinished "the credentials have expired before the deploy has ended; it goes on. Let them last longer (role-duration-seconds)" ;;
      *AccessDenied* | *InvalidArn* | *UnrecognizedClient* | *'locate credentials'*)
        give_up unfinished "the deploy cannot be followed; it goes on. Who follows it needs the UploaderPolicy of $place" "$(cat "$work/error")" ;;
    esac
  fi
  if ((waited >= EXUVIA_TIMEOUT_SECONDS)); then
    # If it could not even be looked at, then why.
    give_up unfinished "the deploy has not ended in $EXUVIA_TIMEOUT_SECONDS s; it goes on, and nobody waits any more" \
      "$([[ -n $status ]] || cat "$work/error")"
  fi
  sleep "$EXUVIA_POLL_SECONDS"
done

# --- What has come of it ---

# The last states may have been entered after the last look.
[[ ${last:-} == Succeeded ]] || story
# The one that was planned, not the one that it replaces.
number() { sed 's/"replaces": *{[^}]*}//' | sed -n 's/.*"release": *\([0-9][0-9]*\).*/\1/p' | head -n 1; }
# What a function that failed has said, without the JSON around it.
plain() { sed -e 's/^{"errorType": *"[^"]*", *"errorMessage": *"\(.*\)"}$/\1/' -e 's/\\"/"/g'; }
release=$(states get-execution-history \
  --query "events[?stateExitedEventDetails.name=='Plan'].stateExitedEventDetails.output | [0]" | number) || release=''
error='' cause=''
if [[ $status == FAILED ]]; then
  error=$(states describe-execution --query error) || error=''
  cause=$(states describe-execution --query cause | plain) || cause=''
fi
took="$(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
what="$place: $EXUVIA_VERSION${release:+ (release $release)}"
case $status/$error in
  SUCCEEDED/)
    case ${last:-} in
      Succeeded) report succeeded "$what is live, after $took" ;;
      Superseded)
        sentence="$what is not live: a newer deploy went first, and nothing is left of this one"
        if is_true EXUVIA_FAIL_IF_SUPERSEDED "$fail_if_superseded"; then give_up superseded "$sentence"; fi
        report superseded "$sentence" ;;
      *) give_up skipped "$what was not deployed: its execution ended as ${last:-SUCCEEDED}" ;;
    esac ;;
  FAILED/RolledBack) give_up rolled-back "$what was rolled back: what was live before is live" "$cause" ;;
  FAILED/Rejected) give_up rejected "$what was refused, and nothing was touched" "$cause" ;;
  FAILED/NeedsAttention) give_up needs-attention "$what needs attention: something could not be put in order" "$cause" ;;
  FAILED/*) give_up needs-attention "$what failed with $error; a recovery puts things in order and tells the outcome" "$cause" ;;
  ABORTED/*) give_up stopped "$what: somebody stopped the deploy. A recovery puts things in order and tells the outcome" ;;
  *) give_up timed-out "$what: its execution ended as $status. A recovery puts things in order and tells the outcome" ;;
esac
