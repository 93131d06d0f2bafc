#!/bin/sh
# Makes the secrets of compose.yaml, in deploy/secrets beside this file: random, and never made anew.
set -eu
folder=${1:-$(dirname "$0")/secrets}

random() {
  od -An -tx1 -N "$1" /dev/urandom | tr -d ' \n'
}

if [ -e "$folder" ]; then
  echo "$folder is there already, and what it holds may be in use." >&2
  exit 1
fi
# Others cannot enter the folder. The files can be read by the users in the containers, which have
# other numbers than whoever runs this.
making=$folder.making
rm -rf "$making"
mkdir -m 700 "$making"
password=$(random 24)
access=$(random 10)
secret=$(random 24)
printf 'sk-coffer-%s\n' "$(random 32)" > "$making/api-key"
printf '%s\n' "$password" > "$making/postgres-password"
printf 'postgres://coffer:%s@postgres:5432/coffer?sslmode=disable\n' "$password" > "$making/metadata-url"
cat > "$making/aws-credentials" <<END
[default]
aws_access_key_id = $access
aws_secret_access_key = $secret
END
cat > "$making/seaweedfs-s3.json" <<END
{
  "identities": [
    {
      "name": "coffer",
      "credentials": [{ "accessKey": "$access", "secretKey": "$secret" }],
      "actions": ["Admin", "Read", "Write", "List"]
    }
  ]
}
END
chmod 444 "$making"/*
mv "$making" "$folder"
echo "The API key of the first project is in $folder/api-key."
