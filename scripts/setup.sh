#!/bin/sh
# Installs this project and exactly the packages of the lock file into .venv. Does nothing if they are installed already.
#   PYTHON=/path/to/python3.11   the Python to build it from (default: the first suitable one on PATH, or else one that
#                                uv installs into .python)
#   LOCK=requirements-gpu.lock   another lock file (remembered until LOCK is set again)
# pip and uv read their own variables, such as PIP_INDEX_URL, UV_DEFAULT_INDEX and UV_PYTHON_INSTALL_MIRROR.
set -eu
cd "$(dirname "$0")/.."
place=$(pwd -P)
stamp=.venv/setup.stamp
log=.venv/setup.log
managed=.python
# Company proxies use their own certificates, which only the system's store contains. Where it is empty, as in a minimal
# Debian, uv uses those that it brings.
if [ -z "${UV_SYSTEM_CERTS:-}" ]; then
  UV_SYSTEM_CERTS=false
  for store in /etc/ssl/certs/* /etc/pki/tls/certs/* /etc/ssl/*.pem /System/Library "${SSL_CERT_FILE:-}" "${SSL_CERT_DIR:-}"; do
    [ ! -e "$store" ] || UV_SYSTEM_CERTS=true
  done
fi
export UV_SYSTEM_CERTS

say() { printf 'setup: %s\n' "$*"; }
die() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}
trap 'trap "" INT TERM; die "Interrupted; the next make goes on from here."' INT TERM

done_sum=''
done_lock=''
done_place=''
if [ -f "$stamp" ]; then
  read -r done_sum done_lock done_place <"$stamp" || :
fi
lock=${LOCK:-${done_lock:-requirements.lock}}
[ -f "$lock" ] || die "There is no lock file $lock."
sum=$(cat "$lock" pyproject.toml scripts/setup.sh scripts/unpack_uv.py scripts/glibc_compat.py | cksum | tr ' ' -)
if [ "$done_sum $done_lock $done_place" = "$sum $lock $place" ] && [ -x .venv/bin/python ]; then
  exit 0
fi

# Prints, for example, "3.11 Linux x86_64 2.36"; the last word is "none" if there is no glibc.
probe='
import os, platform, sys
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION").split()[1]
except (AttributeError, IndexError, OSError, ValueError):
    libc = "none"
print("%d.%d" % sys.version_info[:2], platform.system(), platform.machine(), libc)'

# Looks for Python 3.11 among its arguments; sets `python`, and `host` to the rest of the answer.
# A name on PATH proves nothing, because pyenv has one for every known version: run it to find out.
find_python() {
  for candidate; do
    answer=$("$candidate" -c "$probe" 2>/dev/null) || continue
    seen="$seen; $candidate is ${answer%% *}"
    host=${answer#* }
    case $answer in
      3.11\ *)
        python=$candidate
        return
        ;;
    esac
    others="$others $candidate"
  done
}

# Ends where the packages cannot run.
check_host() {
  glibc=${host##* }
  minor=${glibc#2.}
  minor=${minor%%.*}
  why='ml-metadata and tensorflow-data-validation are published for Linux x86_64 with glibc and macOS arm64 only.'
  case $host in
    Darwin\ arm64\ *) ;;
    Linux\ x86_64\ none) die "This Linux has no glibc, but $why" ;;
    Linux\ x86_64\ 2.*)
      [ "$minor" -ge 34 ] || die "glibc $glibc is too old: the packages need 2.34 or later, as in Debian 12."
      ;;
    *) die "${host% *} is not supported: $why" ;;
  esac
}

# The reason in a log: the last cause that uv gives, or the last line.
reason() {
  { grep '^ *cause: ' "$log" || grep -v -e '^hint:' -e '^ *$' "$log"; } |
    tail -n 1 | sed 's/^ *cause: //; s/\.$//' | cut -c 1-300
}

# run "what failed" command...
run() {
  what=$1
  shift
  "$@" >"$log" 2>&1 || die "$what failed: $(reason) (see $log)"
}

# Sets `uv` to the one on PATH, or to one that some other Python installs into .python: with pip, or, since Debian's
# Python comes without pip and venv, by unpacking the wheel.
find_uv() {
  uv=$(command -v uv) && "$uv" --version >/dev/null 2>&1 && return
  uv=$managed/uv/bin/uv
  "$uv" --version >/dev/null 2>&1 && return
  sed -n '/^uv==/,/^    # via/p' "$lock" >"$managed/uv.txt"
  for other in $others; do
    rm -rf "$managed/uv" "$managed/venv"
    pip=$other
    if "$other" -m venv "$managed/venv" >"$log" 2>&1; then
      pip=$managed/venv/bin/python
    fi
    if "$pip" -m pip install --quiet --require-hashes --no-deps --target "$managed/uv" -r "$managed/uv.txt" \
      >"$log" 2>&1 || "$other" scripts/unpack_uv.py "$managed/uv.txt" "$managed/uv/bin/uv" >"$log" 2>&1; then
      "$uv" --version >"$log" 2>&1 && break
    fi
  done
  rm -rf "$managed/venv"
  "$uv" --version >/dev/null 2>&1
}

# Installs Python 3.11 below the project, where it disturbs nobody; sets `failed` to the reason if it cannot.
install_python() {
  log=$managed/setup.log
  mkdir -p "$managed"
  : >"$log"
  say "there is no Python 3.11 here (looked for: $*$seen), so uv installs one into $managed (about 30 MB to download)"
  if ! find_uv; then
    failed="uv, which could bring one, is not here, and $(if [ -n "$others" ]; then
      echo "cannot be installed: $(reason) (see $log)"
    else
      echo 'there is no other Python that could install it'
    fi)"
  elif ! UV_PYTHON_INSTALL_DIR=$place/$managed UV_PYTHON_INSTALL_BIN=0 "$uv" python install cpython-3.11 >"$log" 2>&1; then
    failed="uv cannot install one either: $(reason) (see $log)"
  fi
  log=.venv/setup.log
}

python=''
host=''
seen=''
others=''
failed=''
if [ -n "${PYTHON:-}" ]; then
  set -- "$PYTHON"
  find_python "$@"
else
  set -- python3.11 python3 python
  find_python "$@" "$place/$managed"/cpython-3.11*/bin/python3.11
  if [ -z "$python" ]; then
    [ -z "$host" ] || check_host
    install_python "$@"
    if [ -z "$failed" ]; then
      find_python "$place/$managed"/cpython-3.11*/bin/python3.11
      [ -n "$python" ] || failed="the one that uv installed into $managed does not run"
    fi
  fi
fi
[ -n "$python" ] || die "Python 3.11 is needed, since TFX stops there and Pillow 13 starts there (looked for: $*$seen);" \
  "install it, or name it with PYTHON=/path/to/python3.11.${failed:+ Here $failed.}"
check_host
old_glibc=''
if [ "$glibc" != none ] && [ "$minor" -lt 39 ]; then
  old_glibc=yes
fi

# The commands in .venv/bin contain the path, so a moved environment is rebuilt. So is one without uv.txt, whose setup
# was interrupted before the environment was complete.
if ! grep -qsF "$place/.venv" .venv/pyvenv.cfg || ! [ -f .venv/uv.txt ] || ! .venv/bin/python -c '' 2>/dev/null; then
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    die "$python lacks its venv module; on Debian: sudo apt install python3-venv"
  say "making .venv with $("$python" --version)"
  rm -rf .venv
  mkdir .venv
  run "Making .venv" "$python" -m venv "$place/.venv"
  done_sum=''
fi
sed -n '/^uv==/,/^    # via/p' "$lock" >.venv/uv.txt

# Without a stamp the last setup was interrupted, and a package may be incomplete: install everything again.
again=''
[ -n "$done_sum" ] || again=yes
size='about 1 GB'
[ "$lock" = requirements.lock ] || size='several GB'
say "installing $(grep -c == "$lock") packages from $lock ($size to download the first time)"
run "Installing uv, which needs the network," .venv/bin/python -m pip install --quiet --require-hashes --no-deps \
  ${again:+--ignore-installed} -r .venv/uv.txt

# The platform admits wheels for a newer glibc, which glibc_compat.py patches afterwards.
sync() {
  .venv/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes --build-constraints "$lock" \
    --compile-bytecode ${again:+--reinstall} ${old_glibc:+--python-platform x86_64-manylinux_2_39} "$@" "$lock"
}

rm -f "$stamp"
# No network is needed if all packages are in the cache.
sync --offline >/dev/null 2>&1 || run "Installing the packages, which needs the network," sync
# Offline, so that nothing outside the lock file can be installed.
run "Installing this project" \
  .venv/bin/uv pip install --quiet --python .venv/bin/python --offline --no-deps --no-build-isolation --editable .
if [ -n "$old_glibc" ]; then
  .venv/bin/python scripts/glibc_compat.py || exit 1
fi

printf '%s\n' "$sum $lock $place" >"$stamp"
say "done"
