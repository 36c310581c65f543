def title(text):
    return " ".join(word.capitalize() for word in text.replace("_", "-").split("-") if word)
