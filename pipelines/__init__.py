"""From folders of images to models and predictions. Installed, and imported, as `xpnet.pipelines`."""

if __name__ != "xpnet.pipelines":
    msg = f"this folder is the package xpnet.pipelines, and was imported as {__name__}"
    raise ImportError(msg)
