"""How `init` recognises images with many bands and moments: which files are arrays, and what they hold.

`samples` chooses the files and opens some, `form` concludes bands, moments and axes from their headers, and `readings`
adds these to what the recognisers propose. See docs/bands.md.
"""
