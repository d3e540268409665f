# What a pod of Kubeflow's finds, on this machine: sh pod.sh ROOT POD [ro:FOLDER | rw:FOLDER]… -- COMMAND…
# Started by `unshare --user --map-root-user --mount`; ROOT: an empty folder. The launcher's folders and /tmp are POD's,
# and so is what else POD has; besides, only FOLDERs marked rw can be written to. The command runs as a user who is in
# no list of users, without a capability and with no way to one.
set -eu
root=$1 pod=$2
shift 2
mkdir -p "$pod/tmp" "$pod/gcs" "$pod/minio" "$pod/s3"
mount -t tmpfs none "$root"
for entry in /*; do
  if [ -e "$pod$entry" ]; then
    continue
  elif [ -L "$entry" ]; then
    cp -P "$entry" "$root$entry"
  elif [ -d "$entry" ]; then
    mkdir "$root$entry"
    mount --rbind "$entry" "$root$entry"
    case $entry in /dev | /proc | /sys) ;; *) mount -o remount,bind,ro "$root$entry" ;; esac
  fi
done
for place in "$pod"/* "$pod"/.[!.]*; do
  if [ -d "$place" ]; then
    mkdir "$root/${place##*/}"
    mount --bind "$place" "$root/${place##*/}"
  fi
done
while [ "$1" != -- ]; do
  mode=${1%%:*} folder=${1#*:}
  mkdir -p "$root$folder"
  mount --bind "$folder" "$root$folder"
  mount -o "remount,bind,$mode" "$root$folder"
  shift
done
shift
mkdir "$root/before"
cd "$root"
pivot_root . before
umount -l before
rmdir before
mount -o remount,ro /
cd /tmp
exec setpriv --no-new-privs unshare --user --map-user=10001 --map-group=10001 "$@"
