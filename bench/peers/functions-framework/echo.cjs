exports.echo = (request, response) => response.end(request.rawBody);
