"""Write keras/: presets of good/ as the archives that Keras writes (stored), and packed by others (deflated).

    python make_keras_archives.py
"""
import os
import zipfile

os.makedirs("keras", exist_ok=True)
for name, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
    with zipfile.ZipFile(f"keras/{name}.keras", "w", method) as archive:
        for member in ("metadata.json", "config.json", "model.weights.h5"):
            info = zipfile.ZipInfo(member, (2026, 1, 1, 0, 0, 0))
            with open("good/kerashub-mistral/" + member, "rb") as file:
                archive.writestr(info, file.read(), method)
