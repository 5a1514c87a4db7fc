#!/usr/bin/env bash
# Builds quorate:latest with whichever of docker, buildah and podman is here. Without a runtime of their own, images are
# built by buildah in a chroot.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${IMAGE:-quorate:latest}
if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  docker build -f docker/Dockerfile -t "$name" .
elif command -v buildah >/dev/null; then
  buildah bud --format docker ${BUILDAH_ISOLATION:+--isolation "$BUILDAH_ISOLATION"} \
    --ignorefile docker/Dockerfile.dockerignore -f docker/Dockerfile -t "$name" .
elif command -v podman >/dev/null; then
  podman build --format docker --ignorefile docker/Dockerfile.dockerignore -f docker/Dockerfile -t "$name" .
else
  echo 'make image needs docker, podman or buildah' >&2
  exit 1
fi
echo "built $name"
