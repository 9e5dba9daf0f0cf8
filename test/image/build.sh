#!/usr/bin/env bash
# Builds the Dockerfile on a machine without a Docker engine: test/image/build.sh FOLDER, as root.
#
# buildah works in a chroot and copies layers (vfs), so it needs no daemon, no network of its own and no file system
# module. No image is pulled: the base is Debian's minimal system with the node that the project's devDependency
# brings. FOLDER keeps base and layers; a second build there takes only what has changed.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"
project=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
cd "$1"
image=localhost/token-broker
base_image=localhost/base
engine() { buildah --storage-driver vfs --root "$PWD/store" --runroot "$PWD/run" "$@"; }

make_base() { # a folder that is whole or not there
  local mirror npm
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m1 '/debian/*$')
  npm=$(dirname "$(dirname "$(readlink -f "$(PATH=${PATH//"$project/node_modules/.bin:"/} command -v npm)")")")
  rm -rf base.new
  debootstrap --variant=minbase --include=ca-certificates bookworm base.new "$mirror" > debootstrap.log
  install -D "$project/node_modules/node/bin/node" base.new/usr/local/bin/node
  mkdir -p base.new/usr/local/lib/node_modules
  cp -r "$npm" base.new/usr/local/lib/node_modules/npm
  ln -s ../lib/node_modules/npm/bin/npm-cli.js base.new/usr/local/bin/npm
  cp /etc/ssl/certs/ca-certificates.crt base.new/etc/ssl/certs/
  chroot base.new useradd --create-home --uid 1000 node
  # Packages come from where this machine gets them.
  printf 'registry=%s\ncafile=/etc/ssl/certs/ca-certificates.crt\n' "$(npm config get registry)" > base.new/root/.npmrc
  mv base.new base
}

[ -d base ] || make_base
if ! engine inspect --type image "$base_image" > /dev/null 2>&1; then
  container=$(engine from scratch)
  cp -a base/. "$(engine mount "$container")"
  engine umount "$container" > /dev/null
  engine config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  engine commit --quiet --rm "$container" "$base_image" > /dev/null
fi

# What git knows of, as a clone would have it, and changes that are not committed yet.
rm -rf context && mkdir context
git -C "$project" ls-files -z | (cd "$project" && xargs -0 tar -cf - --) | tar -xf - -C context
engine bud --format docker --isolation chroot --build-arg BASE_IMAGE="$base_image" --tag "$image" context

rm -rf root && mkdir root
for name in base image; do
  [ $name = base ] && from=$base_image || from=$image
  container=$(engine from "$from")
  folder=$(engine mount "$container")
  du -sm "$folder" | cut -f1 > "$name.megabytes"
  [ $name = base ] || cp -a "$folder/." root
  engine umount "$container" > /dev/null
  engine rm "$container" > /dev/null
done
engine inspect --type image "$image" > image.json
