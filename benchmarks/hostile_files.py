"""Files that are no models of skvqts, or were made to harm who opens them.

Whoever writes such a file can seal it: the checksum of the format keeps damage out, not intent. So
most of these have a right checksum.
"""

import hashlib
import io
import json
import os
import pickle
import struct
import zipfile

import joblib
import numpy as np
import torch

from skvqts import MaskedPriorGenerator, VQTokenizer
from skvqts._files.container import read_file, write_file


class _RunsCode:
    """Its pickle runs a command when it is opened."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def hostile_files(folder, marker):
    """Write the files; a dict of their paths by what is wrong with them.

    Parameters
    ----------
    folder : Path
    marker : Path
        A file that exists once code of one of them has been run.
    """
    good = folder / "good"
    _generator().save(good)
    contents = _files_of_other_programs(marker) | _archives(good) | _arrays(good, marker)
    paths = {name: folder / f"{i:02d}" for i, name in enumerate(contents)}
    for name, path in paths.items():
        path.write_bytes(contents[name])
    for i, (name, change) in enumerate(_changes().items()):
        manifest, arrays = read_file(good)
        change(manifest["objects"], arrays)
        manifest["model"]["object"] = len(manifest["objects"]) - 1
        paths[name] = folder / f"changed {i:02d}"
        write_file(paths[name], manifest, arrays)
    good.unlink()
    return paths


def _generator():
    X = np.sin(np.linspace(0, 6, 32) + np.arange(12)[:, None])
    tokenizer = VQTokenizer(codebook_size=4, width=4, latent_dim=4, max_epochs=1, random_state=0)
    return MaskedPriorGenerator(
        tokenizer, decoder=None, width=8, n_layers=1, max_epochs=1, random_state=0
    ).fit(X)


def _files_of_other_programs(marker):
    of_joblib, of_torch, of_numpy, of_skops = (io.BytesIO() for _ in range(4))
    joblib.dump(_RunsCode(marker), of_joblib)
    torch.save(_RunsCode(marker), of_torch)
    np.savez(of_numpy, a=np.array([_RunsCode(marker)], dtype=object))
    with zipfile.ZipFile(of_skops, "w") as archive:
        archive.writestr("schema.json", json.dumps({"__module__": "os", "__class__": "system"}))
    return {
        "a pickle": pickle.dumps(_RunsCode(marker)),
        "a joblib file": of_joblib.getvalue(),
        "weights of torch": of_torch.getvalue(),
        "an .npz file with a pickle": of_numpy.getvalue(),
        "a skops file": of_skops.getvalue(),
        "a web page": b"<!DOCTYPE html><title>404 Not Found</title>" + b" " * 5000,
        "an empty file": b"",
        "a single byte": b"P",
        "a program": b"\x7fELF" + bytes(4000),
        "the manifest alone": b'{"content": "model", "objects": [], "model": null}',
    }


# ---- archives with a right checksum


def sealed(archive, version=1):
    """The bytes of a zip archive without a comment, with the seal of a skvqts file."""
    seal = f"skvqts format {version:03d} sha256 ".encode()
    whole = archive[:-2] + struct.pack("<H", len(seal) + 64) + seal
    return whole + hashlib.sha256(whole).hexdigest().encode()


def _archive(*members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def _archives(good):
    """Archives that hold a good model, and something else besides."""
    manifest = "manifest.json"
    with zipfile.ZipFile(good) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    text = dict(members)[manifest]
    rest = [member for member in members if member[0] != manifest]

    def with_text(replaced):
        return sealed(_archive((manifest, replaced), *rest))

    overlapping = bytearray(_archive(*members))
    _grow_members(overlapping, 2**20)
    encrypted = bytearray(_archive(*members))
    encrypted[encrypted.find(b"PK\x03\x04") + 6] |= 1
    encrypted[encrypted.find(b"PK\x01\x02") + 8] |= 1
    whole = _archive(*members)
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 1)
    spaces = b" " * (200 * 2**20)
    many = [(f"{i}.npy", b"") for i in range(60_000)]
    return {
        "a zip bomb": sealed(
            _archive((manifest, text + spaces), *rest, compression=zipfile.ZIP_DEFLATED)
        ),
        "compressed members": sealed(_archive(*members, compression=zipfile.ZIP_DEFLATED)),
        "members that overlap": sealed(bytes(overlapping)),
        "very many members": sealed(_archive(*members, *many)),
        "a path that climbs out": sealed(_archive(*members, ("../../out.npy", rest[0][1]))),
        "an absolute path": sealed(_archive(*members, ("/tmp/out", b"x"))),
        "two manifests": sealed(
            _archive(*members, ("manifest.jsoN", text)).replace(b"manifest.jsoN", b"manifest.json")
        ),
        "no manifest": sealed(_archive(*rest)),
        "an encrypted member": sealed(bytes(encrypted)),
        "an archive that claims to be larger": sealed(whole[:-22] + locator + whole[-22:]),
        "a long manifest": with_text(text + b" " * 2**21),
        "a manifest nested deeply": with_text(text[:-1] + b', "x": ' + b"[" * 50_000),
        "a manifest of very many lists": with_text(text[:-1] + b', "x": ' + _many(b"[],") + b"}"),
        "a manifest of very many strings": with_text(
            text[:-1] + b', "x": ' + _many(b'"ab",') + b"}"
        ),
        "a number of very many digits": with_text(text[:-1] + b', "x": ' + b"9" * 10**6 + b"}"),
        "a manifest that is a list": with_text(b"[" + text + b"]"),
        "a format of the future": sealed(whole, version=999),
        "a file that was cut off": good.read_bytes()[:-100],
        "a file that grew": good.read_bytes() + b"\n",
    }


def _many(item):
    return b"[" + item * (900_000 // len(item)) + b"0]"


def _grow_members(archive, size):
    """Let every member of the list but the first claim so many bytes."""
    entry = archive.find(b"PK\x01\x02")
    while (entry := archive.find(b"PK\x01\x02", entry + 1)) >= 0:
        archive[entry + 20 : entry + 28] = struct.pack("<LL", size, size)


# ---- arrays that are not what they claim


def _arrays(good, marker):
    """A good model with an array in place of one of its own."""
    pickled = pickle.dumps(np.array([_RunsCode(marker)], dtype=object))
    code = f"__import__('os').system('touch {marker}')"
    headers = {
        "an array of objects": ("'|O'", "(1,)", pickled),
        "an array of ten terabytes": ("'<f8'", "(1250000000000,)", bytes(64)),
        "an array of negative size": ("'<f4'", "(-4, -4)", bytes(64)),
        "an array of records": ("[('a', '<f4'), ('b', '|O')]", "(4,)", bytes(64)),
        "an array with code for its shape": ("'<f4'", code, bytes(64)),
        "an array of unlimited strings": ("'<U900000000'", "(1,)", bytes(64)),
        "a billion strings without letters": ("'<U0'", "(1000000000,)", b""),
    }
    with zipfile.ZipFile(good) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    replaced = next(name for name in members if name.endswith(".npy"))
    files = {}
    for name, (descr, shape, data) in headers.items():
        header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
        header = header.ljust(117) + "\n"
        array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data
        files[name] = sealed(_archive(*(members | {replaced: array}).items()))
    return files


# ---- models with a change


def _changes():
    """Functions that change the objects and arrays of a good model, by what they do."""

    def state(objects, name):
        # The last of a class is fitted, the first may be a parameter.
        return [item["state"] for item in objects if item["class"] == name][-1]

    def set_in(name, key, value):
        return lambda objects, arrays: state(objects, name).update({key: value})

    def set_architecture(name, key, value):
        def change_pairs(part):
            if isinstance(part, list) and len(part) == 2 and part[0] == key:
                part[1] = value
            for inner in part.values() if isinstance(part, dict) else part:
                if isinstance(inner, (dict, list)):
                    change_pairs(inner)

        return lambda objects, arrays: change_pairs(state(objects, name))

    def set_class(value):
        return lambda objects, arrays: objects[-1].update({"class": value})

    def an_array(arrays):
        return next(name for name in arrays if "_module_arrays" in name)

    def set_array(function):
        return lambda objects, arrays: arrays.update({an_array(arrays): function(arrays)})

    def weights(objects):
        return state(objects, "VQTokenizer")["_module_arrays"]["dict"]

    def billion_layers_in_an_array(objects, arrays):
        arrays["n"] = np.array(10**9)
        set_architecture(generator, "n_layers", {"scalar": "n"})(objects, arrays)

    def nine_thousand_layers(objects, arrays):
        names = [f"{i:x}" for i in range(5000)]
        arrays.update((name, np.zeros(0, np.uint8)) for name in names)
        state(objects, generator)["more"] = [{"array": name} for name in names]
        set_architecture(generator, "n_layers", 5000)(objects, arrays)

    def one_array_for_many_weights(objects, arrays):
        values = weights(objects)
        values[1][1] = values[0][1]

    def compose(objects, n, *steps):
        pairs = [{"tuple": [str(i), {"object": step}]} for i, step in enumerate(steps)]
        objects.insert(n, {"class": "Compose", "state": {"steps": pairs}})

    def with_compositions(objects, n_deep, n_wide):
        """Compositions of compositions before all other objects, which move on by so many."""
        for item in objects:
            _move_references(item["state"], n_deep + 1)
        objects.insert(0, {"class": "Flip", "state": {"probability": 0.5}})
        for i in range(n_deep):
            compose(objects, i + 1, *([i] * n_wide))
        state(objects, tokenizer)["augmentation"] = {"object": n_deep}

    def shared_parts(objects, arrays):
        with_compositions(objects, 40, 2)
        state(objects, tokenizer)["width"] = -1

    def nested_parts(objects, arrays):
        with_compositions(objects, 40, 1)
        state(objects, tokenizer)["width"] = -1

    generator, tokenizer = "MaskedPriorGenerator", "VQTokenizer"
    return {
        "a class of Python's": set_class("os.system"),
        "a class of scikit-learn's": set_class("sklearn.svm.SVC"),
        "a class by its path": set_class("skvqts._files.container.write_file"),
        "an attribute that hides a method": set_in(generator, "sample", "x"),
        "an attribute __class__": set_in(generator, "__class__", "x"),
        "an attribute __reduce__": set_in(generator, "__reduce__", "x"),
        "a parameter that is missing": lambda objects, _: state(objects, generator).pop("width"),
        "a parameter that is not valid": set_in(generator, "width", -1),
        "a billion layers": set_architecture(generator, "n_layers", 10**9),
        "a billion layers in an array": billion_layers_in_an_array,
        "nine thousand layers": nine_thousand_layers,
        "very many tokens": set_architecture(
            generator, "grid", {"tuple": [{"tuple": [1, 60_000_000]}]}
        ),
        "one array for many weights": one_array_for_many_weights,
        "parts that are shared again and again": shared_parts,
        "parts that are nested deeply": nested_parts,
        "a billion blocks": set_architecture(tokenizer, "n_blocks", 10**9),
        "a very wide network": set_architecture(tokenizer, "width", 10**9),
        "very long series": set_architecture(tokenizer, "n_timepoints", 10**15),
        "very many classes": set_architecture(generator, "n_classes", 10**12),
        "weights that are not finite": set_array(lambda a: np.full_like(a[an_array(a)], np.nan)),
        "weights of another shape": set_array(lambda a: np.zeros((3, 3, 3), np.float32)),
        "weights of another type": set_array(lambda a: a[an_array(a)].astype(np.float64)),
        "weights that are missing": lambda objects, _: weights(objects).pop(),
        "weights with another name": lambda objects, _: weights(objects)[0].__setitem__(0, "x"),
        "an array that belongs nowhere": lambda _, arrays: arrays.update(x=np.zeros(3)),
        "an array that is not there": lambda _, arrays: arrays.pop(an_array(arrays)),
        "an object that refers to itself": set_in(generator, "tokenizer", {"object": 10**6}),
        "a value of no kind": set_in(generator, "tokenizer", {"call": "os.system"}),
        "a part of a model only": lambda objects, _: objects.append(objects[0]),
    }


def _move_references(value, n):
    """Let all references in some JSON point to objects that stand n places later."""
    if isinstance(value, list):
        for item in value:
            _move_references(item, n)
    elif isinstance(value, dict):
        if list(value) == ["object"]:
            value["object"] += n
        else:
            for item in value.values():
                _move_references(item, n)
