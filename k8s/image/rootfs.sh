#!/bin/sh
# Fills DIR with the root file system of the image: PROGRAM (as /usr/local/bin/husk) and the shared libraries that it
# loads. Records the Debian package of each library in /var/lib/dpkg/status.d, where image scanners look for packages.
set -eu
[ $# = 2 ] || { echo "usage: $0 PROGRAM DIR" >&2; exit 2; }
program=$1 root=$2

loaded=$(ldd "$program")
case $loaded in *'not found'*) echo "$0: $program lacks a library: $loaded" >&2; exit 1 ;; esac

mkdir -p "$root/usr/local/bin" "$root/var/lib/dpkg/status.d" "$root/etc"
install -m 0755 "$program" "$root/usr/local/bin/husk"
echo 'husk:x:65532:65532:husk:/nonexistent:/nonexistent' >"$root/etc/passwd"
echo 'husk:x:65532:' >"$root/etc/group"

libraries=$(printf '%s\n' "$loaded" | grep -o '/[^ ]*')
for library in $libraries; do
    install -D -m 0755 "$library" "$root$library"
done

# dpkg knows some files of Debian 12 as /lib/…, others as /usr/lib/…. One question for all files: dpkg reads its whole
# database for each.
names=$(for library in $libraries; do real=$(readlink -f "$library"); echo "$real ${real#/usr}"; done)
# shellcheck disable=SC2086  # one word for each name
owners=$(dpkg-query -S $names 2>/dev/null || true)
for library in $libraries; do
    real=$(readlink -f "$library")
    printf '%s\n' "$owners" | grep -q ": \(/usr\)\?${real#/usr}\$" || { echo "$0: no package owns $library" >&2; exit 1; }
done
packages=$(printf '%s\n' "$owners" | cut -d: -f1 | sort -u)
# shellcheck disable=SC2086
dpkg-query -s $packages | awk -v into="$root/var/lib/dpkg/status.d/" '
    /^Package: / { file = into $2 }
    /^$/ { next }
    { print > file }'
for package in $packages; do
    install -D -m 0644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
done
