#!/bin/sh
# Fills DIR with PROGRAM (as /usr/local/bin/husk) and exactly the shared libraries it loads: the whole root file system
# of the image. Each library's Debian package is recorded below /var/lib/dpkg/status.d, where image scanners look.
set -eu
[ $# = 2 ] || { echo "usage: $0 PROGRAM DIR" >&2; exit 2; }
program=$1 root=$2

# The package's entry, under the path it was installed as: Debian 12 knows some files as /lib/…, some as /usr/lib/….
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
