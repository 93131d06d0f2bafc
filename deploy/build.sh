#!/bin/sh
# Makes of a checkout what a machine needs to run Coffer, in a new folder: the built packages, their
# production dependencies, and the Node that the tests ran on. Takes npm and, for Node, libatomic1.
#
#   deploy/build.sh /opt/coffer
set -eu
umask 022

target=${1:?"a folder to make, as in: deploy/build.sh /opt/coffer"}
mkdir -p "$(dirname "$target")"
target=$(cd "$(dirname "$target")" && pwd)/$(basename "$target")
if [ -e "$target" ]; then
  echo "$target is there already: name a folder that is not." >&2
  exit 1
fi
cd "$(dirname "$0")/.."

npm ci
npm run build

# Whole or not there: what was broken off has another name.
making=$target.making
rm -rf "$making"
mkdir -p "$making/bin" "$making/packages"
cp package.json package-lock.json LICENSE "$making"
for package in packages/*; do
  mkdir "$making/$package"
  for part in package.json LICENSE dist cmaps migrations; do
    [ ! -e "$package/$part" ] || cp -R "$package/$part" "$making/$package"
  done
done
# None of these dependencies has an install script; the one that does, Node, is copied.
(cd "$making" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund)
cp node_modules/node/bin/node "$making/bin/node"

cat > "$making/bin/coffer" <<'END'
#!/bin/sh
# The options of Node are those of packages/cli/src/main.ts.
here=$(dirname "$(readlink -f "$0")")
exec "$here/node" --max-semi-space-size=2 "$here/../packages/cli/dist/main.js" "$@"
END
chmod 755 "$making/bin/coffer"
"$making/bin/coffer" --help > /dev/null
mv "$making" "$target"
echo "Coffer is in $target; $target/bin/coffer runs it."
