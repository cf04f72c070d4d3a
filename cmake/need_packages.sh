# Sourced by examples/demo.sh and tests/run.sh. need_packages PACKAGE...: installs those Debian packages that are missing
# and calls apt only if there is one. A tool that is there by other means (cmake, ninja, a compiler) is not missing.

need_packages() {
    local package missing=() as_root=()
    for package in "$@"; do
        case $package in
        g++ | cmake | pkg-config | git) command -v "$package" > /dev/null && continue ;;
        ninja-build) command -v ninja > /dev/null && continue ;;
        clang) { command -v clang++ || command -v clang++-14; } > /dev/null && continue ;;
        esac
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if ! command -v apt-get > /dev/null; then
        echo "missing, and there is no apt-get to install them: ${missing[*]}" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo > /dev/null; then
            echo "missing, and neither root nor sudo to install them: ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    echo "installing: ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"; } > "$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        echo "apt-get could not install: ${missing[*]}" >&2
        return 1
    fi
    rm -f "$log"
}
