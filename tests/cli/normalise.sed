# Times and rates
s/^time +[0-9.]+ s, [0-9.]+ GB\/s$/time        TIME/
s/("elapsed_s": )[0-9.e-]+/\1TIME/
s/^time: [0-9.]+ s$/time: TIME/
s/("seconds": )[0-9.e-]+/\1TIME/
s/( time=")[0-9.]+"/\1TIME"/
s/(: time: [^:]*: ).*/\1TIME/
# Names of devices
s/^(device +).*/\1HERE/
s/^(# device: ).*/\1HERE/
s/^(\| device \| ).* \|$/\1HERE |/
s/("device": ").*"/\1HERE"/
s/(name="device" value=").*"/\1HERE"/
# Versions of libraries, and the name that OpenBLAS has for this processor
/libraries/s/ [0-9]+(\.[0-9]+)+/ VERSION/g
/software/s/(OpenBLAS )[^"|,]+,/\1VERSION,/
/software/s/(, )[0-9]+( threads?)/\1N\2/
