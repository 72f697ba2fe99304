// Starts Swagger UI on the page /docs; templates/docs.html names the schema.
SwaggerUIBundle({
  url: document.querySelector("#docs").dataset.url,
  dom_id: "#docs",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
});
