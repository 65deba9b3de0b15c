#!/usr/bin/env bash
# Builds images as a user would, with a docker engine of its own: build.sh DIRECTORY HELLO. To be run by root in mount,
# process and network namespaces, which take the engine and what it holds away with them.
set -euo pipefail
out=$1 hello=$2
context=$out/context engine=$out/engine
mkdir -p "$context" "$engine"
mount --make-rprivate /
mount -t tmpfs tmpfs "$engine"
mount -t tmpfs tmpfs /run
ip link set dev lo up
cp "$hello" "$context/hello"
# For another processor, by its ELF header (e_machine 0xb7 is aarch64, 0x3e x86-64).
cp "$hello" "$context/foreign"
if [[ $(uname -m) == x86_64 ]]; then other='\xb7' architecture=arm64; else other='\x3e' architecture=amd64; fi
printf "$other" | dd of="$context/foreign" bs=1 seek=18 conv=notrunc status=none
head -c 64M /dev/zero >"$context/ballast"

dockerd --iptables=false --ip6tables=false --bridge=none --data-root "$engine" >"$out/dockerd.log" 2>&1 &
for ((n = 0; n < 300; n++)); do
  if docker version >/dev/null 2>&1; then break; fi
  sleep 0.1
done

# build NAME DOCKERFILE-LINE...
build() {
  printf '%s\n' "FROM scratch" "STOPSIGNAL SIGKILL" "${@:2}" >"$context/Dockerfile"
  DOCKER_BUILDKIT=0 docker build --quiet --tag "hello:$1" "$context" >/dev/null 2>"$out/build.log" ||
    { cat "$out/build.log" "$out/dockerd.log" >&2 && exit 1; }
}
save() { docker save "${@:2}" | gzip --fast >"$out/$1.tar.gz"; }

runs=('COPY hello /hello' 'ENTRYPOINT ["/hello"]')
build v1 "${runs[@]}"
build crashes "${runs[@]}" 'ENV HELLO_EXIT_AFTER=0'
build exits "${runs[@]}" 'ENV HELLO_EXIT_AFTER=13'
build no-command 'COPY hello /hello'
build foreign 'COPY foreign /hello' 'ENTRYPOINT ["/hello"]'
build large "${runs[@]}" 'COPY ballast /ballast'
for name in v1 crashes exits no-command foreign large; do save "$name" "hello:$name"; done
save several hello:v1 hello:crashes

# As it comes from a build on another machine: the same, and says so.
mkdir "$out/relabelled"
tar --extract --gzip --file "$out/v1.tar.gz" --directory "$out/relabelled"
config=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[0]["Config"])' "$out/relabelled/manifest.json")
sed --in-place --regexp-extended "s/\"architecture\":\"[a-z0-9]+\"/\"architecture\":\"$architecture\"/" "$out/relabelled/$config"
tar --create --gzip --file "$out/relabelled.tar.gz" --directory "$out/relabelled" .
