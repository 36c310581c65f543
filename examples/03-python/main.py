# Python looks the same: a module that defines `handler`. It is compiled at deploy, so a typing mistake shows there.
def handler(event, context):
    words = event["text"].split()
    return {"words": len(words), "longest": max(words, key=len, default="")}
