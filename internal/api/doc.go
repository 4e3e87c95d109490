// Package api is a controller's HTTP/JSON face: one table of routes from which the handler, the permissions, the client
// and the description in OpenAPI derive. It decides who may ask for what, and hands the rest to the backends that a
// controller gives it.
package api
