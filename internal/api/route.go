package api

import (
	"net/http"

	"github.com/samara-hpc/samara/fleet"
)

// A permission says who may use a route. The zero value is nobody, so that a route without a row is not served.
type permission uint8

const (
	nobody      permission = iota
	anyone                 // even without a certificate
	nodes                  // a node, about itself
	admins                 // people and controllers
	controllers            // the cluster's controllers
)

// An endpoint is one row of the table of routes: what the client sends and the server answers, and who may ask. Req
// and Res are none if there is no body.
type endpoint[Req, Res any] struct {
	method  string
	pattern string // of http.ServeMux, without the method
	allow   permission
	limit   int64 // bytes of body; 0 is maxBody, unlimited is no limit
	reads   reading
}

// A reading says which state an endpoint answers from. The zero value is this controller's newest.
type reading uint8

const chosen reading = 1 // the one that the client's Consistency asks for

type none struct{}

// unlimited is the limit of a body that is a stream.
const unlimited = -1

// maxBody bounds the body of a request: twice the largest change, since the log's form is the terser one.
const maxBody = 2 * fleet.MaxEntry

// The table of routes.
var (
	getStatus  = endpoint[none, Status]{method: http.MethodGet, pattern: "/v1/status", allow: admins}
	getCluster = endpoint[none, ClusterView]{method: http.MethodGet, pattern: "/v1/cluster", allow: admins, reads: chosen}
	setCluster = endpoint[fleet.SetCluster, Change]{method: http.MethodPatch, pattern: "/v1/cluster", allow: admins}

	listNodes     = endpoint[none, []NodeView]{method: http.MethodGet, pattern: "/v1/nodes", allow: admins, reads: chosen}
	getNode       = endpoint[none, NodeView]{method: http.MethodGet, pattern: "/v1/nodes/{node}", allow: admins, reads: chosen}
	listBoots     = endpoint[none, []fleet.Boot]{method: http.MethodGet, pattern: "/v1/nodes/{node}/boots", allow: admins}
	addNodes      = endpoint[fleet.AddNodes, Change]{method: http.MethodPost, pattern: "/v1/nodes", allow: admins}
	setNodes      = endpoint[fleet.SetNodes, Change]{method: http.MethodPatch, pattern: "/v1/nodes", allow: admins}
	deleteNodes   = endpoint[fleet.DeleteNodes, Change]{method: http.MethodPost, pattern: "/v1/nodes/delete", allow: admins}
	discoverNodes = endpoint[fleet.ArmDiscovery, Change]{method: http.MethodPost, pattern: "/v1/nodes/discover", allow: admins}
	listUnknown   = endpoint[none, []fleet.UnknownMachine]{method: http.MethodGet, pattern: "/v1/unknown", allow: admins}

	listImages  = endpoint[none, []fleet.Image]{method: http.MethodGet, pattern: "/v1/images", allow: admins, reads: chosen}
	getImage    = endpoint[none, fleet.Image]{method: http.MethodGet, pattern: "/v1/images/{image}", allow: admins, reads: chosen}
	getTorrent  = endpoint[none, torrentFile]{method: http.MethodGet, pattern: "/v1/images/{image}/torrent", allow: admins, reads: chosen}
	getSwarm    = endpoint[none, SwarmView]{method: http.MethodGet, pattern: "/v1/images/{image}/swarm", allow: admins, reads: chosen}
	importImage = endpoint[importBody, importLine]{method: http.MethodPost, pattern: "/v1/images/{image}/import", allow: admins, limit: unlimited}
	deleteImage = endpoint[none, Change]{method: http.MethodDelete, pattern: "/v1/images/{image}", allow: admins}

	listNetworks  = endpoint[none, []fleet.Network]{method: http.MethodGet, pattern: "/v1/networks", allow: admins, reads: chosen}
	getNetwork    = endpoint[none, fleet.Network]{method: http.MethodGet, pattern: "/v1/networks/{network}", allow: admins, reads: chosen}
	addNetwork    = endpoint[fleet.Network, Change]{method: http.MethodPost, pattern: "/v1/networks", allow: admins}
	setNetwork    = endpoint[fleet.Network, Change]{method: http.MethodPut, pattern: "/v1/networks/{network}", allow: admins}
	deleteNetwork = endpoint[none, Change]{method: http.MethodDelete, pattern: "/v1/networks/{network}", allow: admins}

	getWatch   = endpoint[none, WatchLine]{method: http.MethodGet, pattern: "/v1/watch", allow: admins}
	getMetrics = endpoint[none, exposition]{method: http.MethodGet, pattern: MetricsPath, allow: admins}
	getBackup  = endpoint[none, stream]{method: http.MethodGet, pattern: "/v1/backup", allow: admins}

	listControllers    = endpoint[none, []ControllerView]{method: http.MethodGet, pattern: "/v1/controllers", allow: admins}
	addToken           = endpoint[TokenRequest, JoinToken]{method: http.MethodPost, pattern: "/v1/controllers/tokens", allow: admins}
	joinController     = endpoint[JoinRequest, JoinAnswer]{method: http.MethodPost, pattern: "/v1/controllers/join", allow: anyone, limit: fleet.MaxAgentRequest}
	transferLeadership = endpoint[TransferRequest, none]{method: http.MethodPost, pattern: "/v1/controllers/transfer", allow: admins}
	removeController   = endpoint[none, Change]{method: http.MethodDelete, pattern: "/v1/controllers/{controller}", allow: admins}

	peerHello    = endpoint[none, Hello]{method: http.MethodGet, pattern: "/v1/peer/hello", allow: controllers}
	peerPropose  = endpoint[stream, Committed]{method: http.MethodPost, pattern: "/v1/peer/propose", allow: controllers, limit: fleet.MaxEntry}
	peerRead     = endpoint[ReadRequest, Committed]{method: http.MethodPost, pattern: "/v1/peer/read", allow: controllers, limit: fleet.MaxAgentRequest}
	peerTransfer = endpoint[TransferRequest, none]{method: http.MethodPost, pattern: "/v1/peer/transfer", allow: controllers, limit: fleet.MaxAgentRequest}
	peerObserved = endpoint[none, Observations]{method: http.MethodGet, pattern: "/v1/peer/observed", allow: controllers}
	peerPull     = endpoint[PullRequest, pullLine]{method: http.MethodPost, pattern: "/v1/peer/pull", allow: controllers, limit: fleet.MaxAgentRequest}
	peerBlob     = endpoint[none, stream]{method: http.MethodGet, pattern: "/v1/peer/blob/{digest}", allow: controllers}

	agentEnroll = endpoint[fleet.EnrollRequest, fleet.EnrollAnswer]{method: http.MethodPost, pattern: fleet.AgentEnrollPath, allow: anyone, limit: fleet.MaxAgentRequest}
	agentRenew  = endpoint[fleet.RenewRequest, fleet.RenewAnswer]{method: http.MethodPost, pattern: fleet.AgentRenewPath, allow: nodes, limit: fleet.MaxAgentRequest}
	agentBlob   = endpoint[none, stream]{method: http.MethodGet, pattern: fleet.AgentBlobPath + "{digest}", allow: nodes}
	agentReport = endpoint[fleet.Report, fleet.SwarmAnswer]{method: http.MethodPost, pattern: fleet.AgentReportPath, allow: nodes, limit: fleet.MaxAgentRequest}
)

// A stream is bytes that travel as they are, and are not held in memory.
type stream struct{}

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
