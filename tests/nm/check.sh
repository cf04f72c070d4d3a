#!/bin/bash
# check.sh ARCHIVE_OR_OBJECT...: in the objects of the per-ISA sources (kernels_<isa>.cpp) every weak symbol that is
# defined carries an arch tag, and no weak symbol is defined by two of them: the linker keeps one copy of a weak symbol,
# and a copy compiled for a newer processor must not serve an older one.
# Prints one line per violation and exits 1; exits 2 where no such object is found.
set -u
tag='zeroi2v::arch::(sse2|avx2|avx512[a-z0-9]*|amx)|xsimd::(sse[0-9a-z_]*|ssse3|avx[0-9a-z_]*|fma[0-9]<)'
weak=$(mktemp) && trap 'rm -f "$weak"' EXIT
objects=0
for file in "$@"; do
    # "object type name" for each defined symbol; in an archive nm names the member on a line of its own
    nm -C --defined-only "$file" 2>/dev/null | awk -v name="$(basename "$file")" '
        /:$/ { name = substr($0, 1, length($0) - 1); next }
        name ~ /kernels_[a-z0-9]+\.cpp/ && NF >= 3 { type = $2; sub(/^[0-9a-f]* . /, ""); print name "\t" type "\t" $0 }' >> "$weak" || exit 2
done
objects=$(cut -f1 "$weak" | sort -u | wc -l)
[ "$objects" -gt 0 ] || { echo "nm: no kernels_<isa>.cpp object in: $*"; exit 2; }
bad=0
untagged=$(awk -F'\t' '$2 ~ /^[WwVvu]$/' "$weak" | grep -vE "$tag")
if [ -n "$untagged" ]; then
    echo "$untagged" | head -40 | sed 's/^/nm: weak symbol without an arch tag: /'
    bad=1
fi
shared=$(awk -F'\t' '$2 ~ /^[WwVvu]$/ { print $3 "\t" $1 }' "$weak" | sort -u | cut -f1 | uniq -d)
if [ -n "$shared" ]; then
    echo "$shared" | head -40 | sed 's/^/nm: weak symbol in two objects: /'
    bad=1
fi
[ $bad -eq 0 ] && echo "nm: $objects objects, $(awk -F'\t' '$2 ~ /^[WwVvu]$/' "$weak" | wc -l) weak symbols, all with an arch tag"
exit $bad
