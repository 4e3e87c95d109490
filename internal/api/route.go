package api

import (
	"net/http"

	"github.com/samara-hpc/samara/fleet"
)

// A permission says who may use a route. The zero value is nobody, so that a route without a row is not served.
type permission uint8

const (
	nobody permission = iota
	anyone            // even without a certificate
	nodes             // a node, about itself
	admins            // people and controllers
)

// An endpoint is one row of the table of routes: what the client sends and the server answers, and who may ask. Req
// and Res are none if there is no body.
type endpoint[Req, Res any] struct {
	method  string
	pattern string // of http.ServeMux, without the method
	allow   permission
	limit   int64 // bytes of body; 0 is maxBody, unlimited is no limit
}

type none struct{}

// unlimited is the limit of a body that is a stream.
const unlimited = -1

// maxBody bounds the body of a request: twice the largest change, since the log's form is the terser one.
const maxBody = 2 * fleet.MaxEntry

// The table of routes.
var (
	getStatus  = endpoint[none, Status]{method: http.MethodGet, pattern: "/v1/status", allow: admins}
	getCluster = endpoint[none, ClusterView]{method: http.MethodGet, pattern: "/v1/cluster", allow: admins}
	setCluster = endpoint[fleet.SetCluster, Change]{method: http.MethodPatch, pattern: "/v1/cluster", allow: admins}

	listNodes   = endpoint[none, []NodeView]{method: http.MethodGet, pattern: "/v1/nodes", allow: admins}
	getNode     = endpoint[none, NodeView]{method: http.MethodGet, pattern: "/v1/nodes/{node}", allow: admins}
	listBoots   = endpoint[none, []fleet.Boot]{method: http.MethodGet, pattern: "/v1/nodes/{node}/boots", allow: admins}
	addNodes    = endpoint[fleet.AddNodes, Change]{method: http.MethodPost, pattern: "/v1/nodes", allow: admins}
	setNodes    = endpoint[fleet.SetNodes, Change]{method: http.MethodPatch, pattern: "/v1/nodes", allow: admins}
	deleteNodes = endpoint[fleet.DeleteNodes, Change]{method: http.MethodPost, pattern: "/v1/nodes/delete", allow: admins}
	listUnknown = endpoint[none, []fleet.UnknownMachine]{method: http.MethodGet, pattern: "/v1/unknown", allow: admins}

	listImages  = endpoint[none, []fleet.Image]{method: http.MethodGet, pattern: "/v1/images", allow: admins}
	getImage    = endpoint[none, fleet.Image]{method: http.MethodGet, pattern: "/v1/images/{image}", allow: admins}
	getTorrent  = endpoint[none, torrentFile]{method: http.MethodGet, pattern: "/v1/images/{image}/torrent", allow: admins}
	importImage = endpoint[importBody, importLine]{method: http.MethodPost, pattern: "/v1/images/{image}/import", allow: admins, limit: unlimited}
	deleteImage = endpoint[none, Change]{method: http.MethodDelete, pattern: "/v1/images/{image}", allow: admins}

	listNetworks  = endpoint[none, []fleet.Network]{method: http.MethodGet, pattern: "/v1/networks", allow: admins}
	getNetwork    = endpoint[none, fleet.Network]{method: http.MethodGet, pattern: "/v1/networks/{network}", allow: admins}
	addNetwork    = endpoint[fleet.Network, Change]{method: http.MethodPost, pattern: "/v1/networks", allow: admins}
	setNetwork    = endpoint[fleet.Network, Change]{method: http.MethodPut, pattern: "/v1/networks/{network}", allow: admins}
	deleteNetwork = endpoint[none, Change]{method: http.MethodDelete, pattern: "/v1/networks/{network}", allow: admins}

	agentEnroll = endpoint[fleet.EnrollRequest, fleet.EnrollAnswer]{method: http.MethodPost, pattern: fleet.AgentEnrollPath, allow: anyone, limit: fleet.MaxAgentRequest}
	agentRenew  = endpoint[fleet.RenewRequest, fleet.RenewAnswer]{method: http.MethodPost, pattern: fleet.AgentRenewPath, allow: nodes, limit: fleet.MaxAgentRequest}
	agentReport = endpoint[fleet.Report, none]{method: http.MethodPost, pattern: fleet.AgentReportPath, allow: nodes, limit: fleet.MaxAgentRequest}
	agentSwarm  = endpoint[fleet.Report, fleet.SwarmAnswer]{method: http.MethodPost, pattern: fleet.AgentSwarmPath, allow: nodes, limit: fleet.MaxAgentRequest}
)

// A torrentFile is a .torrent (BEP 3), which travels as it is.
type torrentFile []byte

// An importBody asks for an import of a path on the controller. A tar stream has a body of its own instead, of type
// tarType.
type importBody struct {
	Path   string `json:"path"`
	Source string `json:"source,omitempty"`
}

// An importLine is one line of the answer to an import. The last one has Version or Error.
type importLine struct {
	Progress *Progress           `json:"progress,omitempty"`
	Version  *fleet.ImageVersion `json:"version,omitempty"`
	Error    *errorBody          `json:"error,omitempty"`
}
