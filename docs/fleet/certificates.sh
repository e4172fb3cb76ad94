#!/bin/sh
# A private CA, a server certificate and client certificates for Mosquitto.
#
#   certificates.sh DIRECTORY SERVER-NAME CLIENT...
#
# Makes DIRECTORY/{ca,server,CLIENT...}.{crt,key}; what is there already is kept, so that further
# gates can be added later. Keep ca.key off the broker and off the gates.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: $0 DIRECTORY SERVER-NAME CLIENT..." >&2
    exit 2
fi
directory=$1
server=$2
shift 2
days=825
mkdir -p "$directory"
cd "$directory"
umask 077

new_key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
}

sign() { # NAME EXTENSIONS
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    printf '%s\n' "$2" > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" \
        -sha256 -extfile "$1.ext" -out "$1.crt" 2> /dev/null
    rm -f "$1.csr" "$1.ext"
    chmod 644 "$1.crt"
}

if [ ! -e ca.crt ]; then
    new_key ca
    openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj "/CN=idgate fleet CA" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.crt
    chmod 644 ca.crt
fi
if [ ! -e server.crt ]; then
    new_key server
    case $server in
        *[!0-9.]*) name="DNS:$server" ;;
        *) name="IP:$server" ;;
    esac
    sign server "subjectAltName=$name
extendedKeyUsage=serverAuth"
fi
for client in "$@"; do
    [ -e "$client.crt" ] && continue
    new_key "$client"
    sign "$client" "extendedKeyUsage=clientAuth"
done
