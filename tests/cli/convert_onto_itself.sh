cp "$DATA/sample/t5-tiny16/config.json" .
cp "$DATA/sample/t5-tiny16/tf_model.h5" .
gqa-convert -q -g 4 tf_model.h5 model.gqa
ln model.gqa same.gqa
gqa-convert --force -g 2 model.gqa same.gqa
status=$?
cmp model.gqa same.gqa
exit $status
