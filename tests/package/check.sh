#!/bin/bash
# check.sh HOW: builds tests/package/main.cpp as a user would and runs it. HOW is find_package, pkg_config (both after an
# installation into WORK/prefix), add_subdirectory or fetch_content.
# Environment: SOURCE (the repository), BUILD (its build folder), WORK, CXX, CMAKE, VERSION, PARTS (`zeroi2v;io;...`).
set -eu
how=${1:?usage: check.sh HOW}
work=$WORK/$how
rm -rf "$work"
mkdir -p "$work"
checkpoint=$SOURCE/tests/data/formats/half.pth

fail() { echo "package ($how): $1"; exit 1; }
quietly() { "$@" > "$work/log" 2>&1 || { cat "$work/log"; fail "failed: $*"; }; }

case $how in
find_package | pkg_config)
    quietly "$CMAKE" --install "$BUILD" --prefix "$work/first"
    mv "$work/first" "$work/prefix" # an installation may be moved
    grep -rlF -e "$SOURCE" -e "$work/first" "$work/prefix" --include='*.cmake' --include='*.pc' && fail "names a folder of the build"
    ;;
esac

case $how in
find_package | pkg_config)
    [ ! -e "$BUILD/bin/zeroi2v" ] || [ "$("$work/prefix/bin/zeroi2v" --version)" = "zeroi2v $VERSION" ] ||
        fail "the installed program does not state its version"
    ;;
esac

case $how in
find_package | add_subdirectory | fetch_content)
    quietly "$CMAKE" -S "$SOURCE/tests/package/$how" -B "$work/build" -DCMAKE_BUILD_TYPE=Debug \
        -DCMAKE_CXX_COMPILER="$CXX" -DCMAKE_PREFIX_PATH="$work/prefix" -DSOURCE="$SOURCE" "-DPARTS=$PARTS" -DVERSION="$VERSION"
    quietly "$CMAKE" --build "$work/build" --parallel 2 --target consumer
    program=$work/build/consumer
    ;;
pkg_config)
    libdir=$(dirname "$(find "$work/prefix" -name zeroi2v.pc)")
    export PKG_CONFIG_PATH=$libdir
    packages= defines=
    for part in ${PARTS//;/ }; do
        [ "$part" = zeroi2v ] && packages="$packages zeroi2v" || packages="$packages zeroi2v-$part"
        defines="$defines -DCONSUMER_$part=1"
        [ "$(pkg-config --modversion "${packages##* }")" = "$VERSION" ] || fail "${packages##* }.pc states another version"
    done
    # shellcheck disable=SC2046,SC2086
    quietly "$CXX" -std=c++20 $defines $(pkg-config --cflags $packages) "$SOURCE/tests/package/main.cpp" \
        -o "$work/consumer" $(pkg-config --libs $packages)
    program=$work/consumer
    ;;
*) fail "HOW is find_package, pkg_config, add_subdirectory or fetch_content" ;;
esac

"$program" "$checkpoint" > "$work/output" || fail "the program ended with $?"
grep -qx "zeroi2v $VERSION" "$work/output" || fail "the program printed: $(cat "$work/output")"
echo "package ($how): $(tr '\n' ',' < "$work/output")"
rm -rf "$work"
