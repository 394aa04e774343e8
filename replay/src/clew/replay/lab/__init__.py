"""`clew lab`: recorded runs carried out again under a changed configuration, and what it changes.

The plan is the recorded one, unless it is to be made anew. Tools are answered from the record where arguments match;
models are asked anew from the first request on that is not as it was recorded, and only if that is allowed.
"""
