package api

import (
	"net/http"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// A permission says who may use a route. The zero value is nobody, so that a route without a row is not served.
type permission uint8

const (
	nobody      permission = iota
	anyone                 // even without a certificate
	nodes                  // a node, about itself
	viewers                // people who may see everything but secrets; this and what follows includes those below
	operators              // people who may change what nodes run
	admins                 // people who may do everything that people may
	controllers            // the cluster's controllers
)

// forPeople reports whether p lets people in by their role.
func (p permission) forPeople() bool { return p >= viewers && p <= admins }

// String names who p lets in, in the singular.
func (p permission) String() string {
	switch p {
	case anyone:
		return "anyone"
	case nodes:
		return "node"
	case viewers:
		return string(identity.RoleViewer)
	case operators:
		return string(identity.RoleOperator)
	case admins:
		return string(identity.RoleAdmin)
	case controllers:
		return "controller"
	}
	return "nobody"
}

// An endpoint is one row of the table of routes: what the client sends and the server answers, and who may ask. Req
// and Res are none if there is no body.
type endpoint[Req, Res any] struct {
	method  string
	pattern string // of http.ServeMux, without the method
	allow   permission
	limit   int64 // bytes of body; 0 is maxBody, unlimited is no limit
	reads   reading
	changes bool // it takes dryRunParam, whyParam, ifParam and ifMatchHeader
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
	getStatus  = endpoint[none, Status]{method: http.MethodGet, pattern: "/v1/status", allow: viewers}
	getCluster = endpoint[none, ClusterView]{method: http.MethodGet, pattern: "/v1/cluster", allow: viewers, reads: chosen}
	setCluster = endpoint[fleet.SetCluster, Change]{method: http.MethodPatch, pattern: "/v1/cluster", allow: operators, changes: true}

	listNodes     = endpoint[none, []NodeView]{method: http.MethodGet, pattern: "/v1/nodes", allow: viewers, reads: chosen}
	getNode       = endpoint[none, NodeView]{method: http.MethodGet, pattern: "/v1/nodes/{node}", allow: viewers, reads: chosen}
	listBoots     = endpoint[none, []fleet.Boot]{method: http.MethodGet, pattern: "/v1/nodes/{node}/boots", allow: viewers}
	nodeWhy       = endpoint[none, []fleet.Provenance]{method: http.MethodGet, pattern: "/v1/nodes/{node}/why", allow: viewers, reads: chosen}
	addNodes      = endpoint[fleet.AddNodes, Change]{method: http.MethodPost, pattern: "/v1/nodes", allow: operators, changes: true}
	setNodes      = endpoint[fleet.SetNodes, Change]{method: http.MethodPatch, pattern: "/v1/nodes", allow: operators, changes: true}
	deleteNodes   = endpoint[fleet.DeleteNodes, Change]{method: http.MethodPost, pattern: "/v1/nodes/delete", allow: operators, changes: true}
	discoverNodes = endpoint[fleet.ArmDiscovery, Change]{method: http.MethodPost, pattern: "/v1/nodes/discover", allow: operators, changes: true}
	listUnknown   = endpoint[none, []fleet.UnknownMachine]{method: http.MethodGet, pattern: "/v1/unknown", allow: viewers}

	listProfiles = endpoint[none, []ProfileView]{method: http.MethodGet, pattern: "/v1/profiles", allow: viewers, reads: chosen}
	getProfile   = endpoint[none, ProfileView]{method: http.MethodGet, pattern: "/v1/profiles/{profile}", allow: viewers, reads: chosen}

	listImages  = endpoint[none, []fleet.Image]{method: http.MethodGet, pattern: "/v1/images", allow: viewers, reads: chosen}
	getImage    = endpoint[none, fleet.Image]{method: http.MethodGet, pattern: "/v1/images/{image}", allow: viewers, reads: chosen}
	getTorrent  = endpoint[none, torrentFile]{method: http.MethodGet, pattern: "/v1/images/{image}/torrent", allow: viewers, reads: chosen}
	getSwarm    = endpoint[none, SwarmView]{method: http.MethodGet, pattern: "/v1/images/{image}/swarm", allow: viewers, reads: chosen}
	importImage = endpoint[importBody, importLine]{method: http.MethodPost, pattern: "/v1/images/{image}/import", allow: operators, limit: unlimited}
	deleteImage = endpoint[none, Change]{method: http.MethodDelete, pattern: "/v1/images/{image}", allow: operators, changes: true}

	listNetworks  = endpoint[none, []fleet.Network]{method: http.MethodGet, pattern: "/v1/networks", allow: viewers, reads: chosen}
	getNetwork    = endpoint[none, fleet.Network]{method: http.MethodGet, pattern: "/v1/networks/{network}", allow: viewers, reads: chosen}
	addNetwork    = endpoint[fleet.Network, Change]{method: http.MethodPost, pattern: "/v1/networks", allow: operators, changes: true}
	setNetwork    = endpoint[fleet.Network, Change]{method: http.MethodPut, pattern: "/v1/networks/{network}", allow: operators, changes: true}
	deleteNetwork = endpoint[none, Change]{method: http.MethodDelete, pattern: "/v1/networks/{network}", allow: operators, changes: true}

	getWatch   = endpoint[none, WatchLine]{method: http.MethodGet, pattern: "/v1/watch", allow: viewers}
	getMetrics = endpoint[none, exposition]{method: http.MethodGet, pattern: MetricsPath, allow: viewers}
	getBackup  = endpoint[none, stream]{method: http.MethodGet, pattern: "/v1/backup", allow: admins}

	listControllers    = endpoint[none, []ControllerView]{method: http.MethodGet, pattern: "/v1/controllers", allow: viewers}
	addToken           = endpoint[TokenRequest, JoinToken]{method: http.MethodPost, pattern: "/v1/controllers/tokens", allow: admins}
	joinController     = endpoint[JoinRequest, JoinAnswer]{method: http.MethodPost, pattern: "/v1/controllers/join", allow: anyone, limit: fleet.MaxAgentRequest}
	transferLeadership = endpoint[TransferRequest, none]{method: http.MethodPost, pattern: "/v1/controllers/transfer", allow: admins}
	removeController   = endpoint[none, Change]{method: http.MethodDelete, pattern: "/v1/controllers/{controller}", allow: admins}

	addUser = endpoint[UserRequest, UserCertificate]{method: http.MethodPost, pattern: "/v1/users", allow: admins, limit: fleet.MaxAgentRequest}

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
