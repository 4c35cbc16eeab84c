#!/usr/bin/env bash
# Makes .venv ready for `make demo` (setup_env.sh runtime) or `make test` (setup_env.sh test).
#
# Safe to call any number of times: a stamp inside .venv says what it was made from, and nothing is done while that
# still holds. An interrupted run leaves no stamp, so the next one starts over.
#
#   PYTHON  interpreter to build on           (default: the first of python3, python3.12, 3.11, 3.10 that fits)
#   TORCH   what pip should install as torch  (default: below; e.g. TORCH=torch==2.9.1, or a wheel's path on a Jetson)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

level=${1:-runtime}
venv=.venv

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'set-up: %s\n' "$*" >&2; exit 1; }

# --- the Python to build on ------------------------------------------------------------------------------------------

# The real interpreter behind a name: not an active virtual environment, whose packages would be mistaken for a ROS. By
# its real path, for an active .venv knows the Python that it was made with by another name than the shell does.
base_python() {
  "$1" -c 'import os, sys; print(os.path.realpath(getattr(sys, "_base_executable", sys.executable))); sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
}

# Prints the interpreter, and where the sourced ROS has its rclpy (or `wheels`).
choose_python() {
  local name path ros first=
  for name in ${PYTHON:-python3 /usr/bin/python3 python3.12 python3.11 python3.10}; do
    path=$(base_python "$name") || continue
    first=${first:-$path}
    # A sourced ROS is compiled for one Python: take that one.
    if [ -n "${AMENT_PREFIX_PATH:-}" ] && ros=$("$path" -c 'import rclpy; print(rclpy.__file__)' 2>/dev/null); then
      echo "$path $ros"
      return
    fi
  done
  [ -n "$first" ] || die "no Python 3.10, 3.11 or 3.12 found; install one, or name it: make PYTHON=/path/to/python3.12"
  echo "$first wheels"
}

# --- Debian packages, only what is missing -----------------------------------------------------------------------------

has_library() { [[ $(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null) == *"$1 "* ]]; }

has_browser() { command -v chromedriver && { command -v chromium || command -v chromium-browser || command -v google-chrome; }; } >/dev/null

install_debian() { # install_debian PACKAGE...
  local as_root=()
  command -v apt-get >/dev/null || return 1
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || return 1
    as_root=(sudo)
  fi
  say "installing Debian packages: $*"
  local quiet=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
  "${as_root[@]}" "${quiet[@]}" install -y --no-install-recommends "$@" >/dev/null 2>&1 ||
    { "${as_root[@]}" "${quiet[@]}" update >&2 &&
      "${as_root[@]}" "${quiet[@]}" install -y --no-install-recommends "$@" >/dev/null; }
}

system_packages() {
  local missing=()
  "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=("python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
  has_library libGL.so.1 || missing+=(libgl1) # OpenCV and Open3D
  has_library libgomp.so.1 || missing+=(libgomp1) # Open3D
  has_library libusb-1.0.so.0 || missing+=(libusb-1.0-0)
  if [ ${#missing[@]} -gt 0 ]; then
    install_debian "${missing[@]}" ||
      die "missing system packages that could not be installed; run: sudo apt-get install ${missing[*]}"
  fi
  if [ "$level" = test ] && ! has_browser; then
    install_debian chromium chromium-driver || say "no Chromium with chromedriver: tests that need a browser will be skipped"
  fi
}

# --- what .venv is made from -------------------------------------------------------------------------------------------

read -r python ros <<<"$(choose_python)"
[ -n "$python" ] || exit 1

if [ -z "${TORCH:-}" ]; then
  if [ "$ros" != wheels ] && "$python" -c 'import torch' 2>/dev/null; then
    TORCH=torch # the machine brings its own (a Jetson's, for one): keep it
  elif [ "$(uname -m)" = x86_64 ]; then
    TORCH=torch==2.13.0
  else
    TORCH=torch
  fi
fi

case $level in
  runtime) extras=simulation ;; # the demo's cameras
  test) extras=simulation,test ;;
  *) die "unknown level $level (runtime or test)" ;;
esac
[ "$ros" != wheels ] || extras=${extras:+$extras,}ros-wheels
base="$python $ros"

made_from=$({ echo "$base $TORCH"; cat setup.py scripts/setup_env.sh; } | sha256sum | cut -c1-16)
stamp=$venv/.ready-$level
is_ready() { [ "$(cat "$stamp" 2>/dev/null)" = "$made_from" ]; }
if is_ready; then exit 0; fi

# --- make it -----------------------------------------------------------------------------------------------------------

exec 9>.venv.lock
if command -v flock >/dev/null && ! flock -n 9; then
  say "another set-up is at work; waiting for it"
  flock 9
  if is_ready; then exit 0; fi
fi

system_packages

rm -f "$venv"/.ready-*
if [ -e "$venv/.unfinished" ] || [ "$(cat "$venv/.base" 2>/dev/null)" != "$base" ] || ! "$venv/bin/python" -c '' 2>/dev/null; then
  say "creating $venv with $("$python" --version), ROS: $([ "$ros" != wheels ] && echo "the sourced one" || echo "Jazzy from PyPI wheels")"
  rm -rf "$venv"
  options=()
  [ "$ros" != wheels ] && options=(--system-site-packages)
  "$python" -m venv "${options[@]}" "$venv"
  echo "$base" >"$venv/.base"
fi
touch "$venv/.unfinished"

constraints=$venv/.constraints
: >"$constraints"
if [ "$ros" != wheels ] && "$python" -c 'import numpy, sys; sys.exit(numpy.__version__[0] != "1")' 2>/dev/null; then
  echo 'numpy<2' >>"$constraints" # cv_bridge and other compiled apt packages break with another major version
fi

say "installing Python packages (a minute or two the first time)"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-compile -c "$constraints" "$TORCH" -e ".${extras:+[$extras]}" ||
  die "pip could not install the packages above; mend that and run the same command again"

if [ "$level" = test ]; then
  # Not installed: only its list of convertible operators is read. It cannot be imported without TensorRT.
  "$venv/bin/python" -m pip download -qq --disable-pip-version-check --no-deps -d "$venv/wheels" torch-tensorrt==2.13.0 ||
    say "no torch-tensorrt for this machine: the test that TensorRT can convert the network will be skipped"
fi

rm "$venv/.unfinished"
echo "$made_from" >"$stamp"
[ "$level" = runtime ] || echo "$made_from" >"$venv/.ready-runtime" # tests need all that the program needs
say "$venv is ready"
