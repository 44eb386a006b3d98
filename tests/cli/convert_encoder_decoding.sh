# An encoder's class that is told to be a decoder keeps a cache: where its family is
# not described so, it is not told of as an encoder, nor grouped as one.
cp -r "$DATA/encoders/electra" model
chmod -R u+w model
sed -i '1a "is_decoder": true,' model/config.json
gqa-inspect model | sed -n '/^Model/,/^Tensors/p'
gqa-convert --attention encoder --groups 1 model out.gqa || echo "exit $?"
ls
# BERT's is.
rm -r model
cp -r "$DATA/encoders/bert" model
chmod -R u+w model
sed -i '1a "is_decoder": true,' model/config.json
gqa-inspect model | sed -n '/^Family/p; /^decoder/p; /^KV cache/p'
