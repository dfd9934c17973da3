#!/bin/sh
# Starts bin/ddpm with the libtorch 2.11 of this machine. It uses the first of these that has one:
#   1. a folder in LD_LIBRARY_PATH
#   2. lib/ beside this file
#   3. PyTorch 2.11 of python3 or python
# The program is told where model/ beside this file is, and uses it where no flag and no run names another.
set -uf

# The folder of this file, also when it is called through a link.
me=$0
while [ -L "$me" ]; do
    target=$(readlink "$me")
    case $target in
        /*) me=$target ;;
        *) me=$(dirname "$me")/$target ;;
    esac
done
here=$(CDPATH='' cd "$(dirname "$me")" && pwd -P) || exit 1

has_libtorch() {
    [ -f "$1/libtorch_cpu.so" ]
}

# Empty and relative entries of LD_LIBRARY_PATH mean the current folder, which may be untrusted, so they are dropped.
absolute=
before=$IFS
IFS=:
for folder in ${LD_LIBRARY_PATH-}; do
    case $folder in
        /*) absolute=${absolute:+$absolute:}$folder ;;
    esac
done
IFS=$before
LD_LIBRARY_PATH=$absolute
export LD_LIBRARY_PATH

in_search_path() {
    before=$IFS
    IFS=:
    for folder in $LD_LIBRARY_PATH; do
        if has_libtorch "$folder"; then
            IFS=$before
            return 0
        fi
    done
    IFS=$before
    return 1
}

# The folder of libtorch in a Python, without importing torch, which would take seconds.
in_python() {
    # Run in the root folder: Python loads modules from the current one, PATH and PYTHONPATH may name it, and it may be
    # untrusted. The user's own packages are allowed.
    (cd / && exec "$1" -c '
import importlib.metadata, importlib.util, os, sys
try:
    release = importlib.metadata.version("torch").split(".")[:2]
    folder = importlib.util.find_spec("torch").submodule_search_locations[0]
except Exception:
    sys.exit(1)
print(os.path.join(folder, "lib"))
sys.exit(0 if release == ["2", "11"] else 1)
') 2>/dev/null
}

search() {
    LD_LIBRARY_PATH=$1${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

if in_search_path; then
    :
elif has_libtorch "$here/lib"; then
    search "$here/lib"
elif folder=$(in_python python3) && has_libtorch "$folder"; then
    search "$folder"
elif folder=$(in_python python) && has_libtorch "$folder"; then
    search "$folder"
else
    echo "ddpm: expected libtorch 2.11 (libtorch_cpu.so) in LD_LIBRARY_PATH, in $here/lib or as PyTorch 2.11 of python3," \
        "found none; see README.txt" >&2
    exit 1
fi
if [ -z "${DDPM_MODEL-}" ] && [ -f "$here/model/manifest.json" ]; then
    DDPM_MODEL=$here/model
    export DDPM_MODEL
fi
exec "$here/bin/ddpm" "$@"
