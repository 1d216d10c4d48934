#!/bin/sh
# Fills DIR with the root file system of the image: PROGRAM (as /usr/local/bin/husk) and the shared libraries that it
# loads. Records the Debian package of each library in /var/lib/dpkg/status.d, where image scanners look for packages.
set -eu
[ $# = 2 ] || { echo "usage: $0 PROGRAM DIR" >&2; exit 2; }
program=$1 root=$2

# Records the package that owns file $1. dpkg knows some files of Debian 12 as /lib/…, others as /usr/lib/….
record_package() {
    real=$(readlink -f "$1")
    owner=$(dpkg-query -S "$real" "${real#/usr}" 2>/dev/null | head -n 1)
    [ -n "$owner" ] || { echo "$0: no package owns $1" >&2; exit 1; }
    package=${owner%%:*}
    dpkg-query -s "$package" >"$root/var/lib/dpkg/status.d/$package"
    mkdir -p "$root/usr/share/doc/$package"
    cp -L "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
}

loaded=$(ldd "$program")
case $loaded in *'not found'*) echo "$0: $program lacks a library: $loaded" >&2; exit 1 ;; esac

mkdir -p "$root/usr/local/bin" "$root/var/lib/dpkg/status.d" "$root/etc"
install -m 0755 "$program" "$root/usr/local/bin/husk"
echo 'husk:x:65532:65532:husk:/nonexistent:/nonexistent' >"$root/etc/passwd"
echo 'husk:x:65532:' >"$root/etc/group"

for library in $(printf '%s\n' "$loaded" | grep -o '/[^ ]*'); do
    install -D -m 0755 "$library" "$root$library"
    record_package "$library"
done
