"""Images, files and the command line, over the arrays of xpnet."""
