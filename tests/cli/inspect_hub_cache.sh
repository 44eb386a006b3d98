# What a hub's client keeps is no checkpoint, but has some.
mkdir -p models--x--y/blobs models--x--y/refs models--x--y/snapshots/1
cp "$DATA/runtime/llama/"* models--x--y/snapshots/1
gqa-inspect models--x--y || echo "exit $?"
gqa-inspect models--x--y/snapshots/1 | grep ^Family
