gqa-verify model.gqa
