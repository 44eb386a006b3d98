echo precious >model.gqa
gqa-convert -g 4 "$DATA/sample/t5-tiny16/tf_model.h5" model.gqa
status=$?
cat model.gqa
exit $status
