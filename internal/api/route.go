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
	changes bool     // it takes dryRunParam, whyParam, ifParam and ifMatchHeader
	query   []string // what else it takes; see parameters
	doc     string   // what it does, in a sentence
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
	getStatus = endpoint[none, Status]{method: http.MethodGet, pattern: "/v1/status", allow: viewers,
		doc: "How the controller that answers is, and the cluster as it sees it."}
	getCluster = endpoint[none, ClusterView]{method: http.MethodGet, pattern: "/v1/cluster", allow: viewers, reads: chosen,
		doc: "What holds for the whole cluster."}
	setCluster = endpoint[fleet.SetCluster, Change]{method: http.MethodPatch, pattern: "/v1/cluster", allow: operators, changes: true,
		doc: "Change what holds for the whole cluster. What is not named stays."}

	listNodes = endpoint[none, []NodeView]{method: http.MethodGet, pattern: "/v1/nodes", allow: viewers, reads: chosen,
		doc: "All nodes, by name.", query: []string{resolvedParam, limitParam, afterParam}}
	getNode = endpoint[none, NodeView]{method: http.MethodGet, pattern: "/v1/nodes/{node}", allow: viewers, reads: chosen,
		doc: "One node.", query: []string{resolvedParam}}
	listBoots = endpoint[none, []fleet.Boot]{method: http.MethodGet, pattern: "/v1/nodes/{node}/boots", allow: viewers,
		doc: "The boots of a node that controllers remember, newest first."}
	nodeWhy = endpoint[none, []fleet.Provenance]{method: http.MethodGet, pattern: "/v1/nodes/{node}/why", allow: viewers, reads: chosen,
		doc: "All that holds for a node, and which profile or the node itself says it."}
	listWhy = endpoint[none, []NodeWhy]{method: http.MethodGet, pattern: "/v1/why", allow: viewers, reads: chosen,
		doc: "All that holds for each node and who says it, by the nodes' names; a page of them.", query: []string{limitParam, afterParam}}
	explainNode = endpoint[none, Explanation]{method: http.MethodGet, pattern: "/v1/nodes/{node}/explain", allow: viewers, reads: chosen,
		doc: "How a node would boot if it asked now, and why not."}
	addNodes = endpoint[fleet.AddNodes, Change]{method: http.MethodPost, pattern: "/v1/nodes", allow: operators, changes: true,
		doc: "Create nodes, all or none."}
	setNodes = endpoint[fleet.SetNodes, Change]{method: http.MethodPatch, pattern: "/v1/nodes", allow: operators, changes: true,
		doc: "Change nodes, all or none."}
	deleteNodes = endpoint[fleet.DeleteNodes, Change]{method: http.MethodPost, pattern: "/v1/nodes/delete", allow: operators, changes: true,
		doc: "Remove nodes, all or none."}
	discoverNodes = endpoint[fleet.ArmDiscovery, Change]{method: http.MethodPost, pattern: "/v1/nodes/discover", allow: operators, changes: true,
		doc: "Let unknown machines become nodes until a time."}
	listUnknown = endpoint[none, []fleet.UnknownMachine]{method: http.MethodGet, pattern: "/v1/unknown", allow: viewers,
		doc: "Machines that asked to boot and that no node claims, newest first."}

	listProfiles = endpoint[none, []ProfileView]{method: http.MethodGet, pattern: "/v1/profiles", allow: viewers, reads: chosen,
		doc: "All profiles, by name."}
	getProfile = endpoint[none, ProfileView]{method: http.MethodGet, pattern: "/v1/profiles/{profile}", allow: viewers, reads: chosen,
		doc: "One profile."}

	listImages = endpoint[none, []fleet.Image]{method: http.MethodGet, pattern: "/v1/images", allow: viewers, reads: chosen,
		doc: "All images, by name."}
	getImage = endpoint[none, fleet.Image]{method: http.MethodGet, pattern: "/v1/images/{image}", allow: viewers, reads: chosen,
		doc: "One image with all its versions, or with the one that NAME:VERSION names."}
	getTorrent = endpoint[none, torrentFile]{method: http.MethodGet, pattern: "/v1/images/{image}/torrent", allow: viewers, reads: chosen,
		doc: "The .torrent file of an image version."}
	getSwarm = endpoint[none, SwarmView]{method: http.MethodGet, pattern: "/v1/images/{image}/swarm", allow: viewers, reads: chosen,
		doc: "How an image version spreads."}
	importImage = endpoint[importBody, importLine]{method: http.MethodPost, pattern: "/v1/images/{image}/import", allow: operators, limit: unlimited,
		doc: "Make a new version of an image from a tar stream. The answer is lines of JSON; the last has the version or an error.", query: []string{sourceParam, firmwareParam, whyParam}}
	deleteImage = endpoint[none, Change]{method: http.MethodDelete, pattern: "/v1/images/{image}", allow: operators, changes: true,
		doc: "Remove an image, or the version that NAME:VERSION names."}

	listNetworks = endpoint[none, []fleet.Network]{method: http.MethodGet, pattern: "/v1/networks", allow: viewers, reads: chosen,
		doc: "All networks, by name."}
	getNetwork = endpoint[none, fleet.Network]{method: http.MethodGet, pattern: "/v1/networks/{network}", allow: viewers, reads: chosen,
		doc: "One network."}
	addNetwork = endpoint[fleet.Network, Change]{method: http.MethodPost, pattern: "/v1/networks", allow: operators, changes: true,
		doc: "Create a network."}
	setNetwork = endpoint[fleet.Network, Change]{method: http.MethodPut, pattern: "/v1/networks/{network}", allow: operators, changes: true,
		doc: "Replace a network."}
	deleteNetwork = endpoint[none, Change]{method: http.MethodDelete, pattern: "/v1/networks/{network}", allow: operators, changes: true,
		doc: "Remove a network on which no node has an address."}

	getConfiguration = endpoint[none, Configuration]{method: http.MethodGet, pattern: "/v1/configuration", allow: viewers, reads: chosen,
		doc: "All that people choose, without secrets: now, or at an earlier revision.", query: []string{revisionParam}}
	editConfiguration = endpoint[fleet.Edit, Change]{method: http.MethodPost, pattern: "/v1/configuration", allow: operators, changes: true, limit: MaxEdit,
		doc: "Put and delete whole objects, all or none. A password that is not named stays; an empty one is taken away."}
	listHistory = endpoint[none, []HistoryEntry]{method: http.MethodGet, pattern: "/v1/history", allow: viewers, reads: chosen,
		doc: "Changes of the configuration, the latest first.", query: []string{limitParam, beforeParam}}
	compareRevisions = endpoint[none, Comparison]{method: http.MethodGet, pattern: "/v1/difference", allow: viewers, reads: chosen,
		doc: "How the configuration differs between two revisions.", query: []string{fromParam, toParam}}
	rollbackTo = endpoint[RollbackRequest, Change]{method: http.MethodPost, pattern: "/v1/rollback", allow: operators, changes: true,
		doc: "Make the configuration what it was at a revision."}

	getWatch = endpoint[none, WatchLine]{method: http.MethodGet, pattern: "/v1/watch", allow: viewers,
		doc: "What changes, as it does: lines of JSON, or server-sent events if they are asked for with Accept.", query: []string{afterParam}}
	getMetrics = endpoint[none, exposition]{method: http.MethodGet, pattern: MetricsPath, allow: viewers,
		doc: "Metrics for Prometheus."}
	getBackup = endpoint[none, stream]{method: http.MethodGet, pattern: "/v1/backup", allow: admins,
		doc: "A backup of the state, with its own end mark and checksum.", query: []string{blobsParam}}

	getOpenAPI = endpoint[none, document]{method: http.MethodGet, pattern: "/v1/openapi.json", allow: viewers,
		doc: "This description, in OpenAPI 3.1."}

	listControllers = endpoint[none, []ControllerView]{method: http.MethodGet, pattern: "/v1/controllers", allow: viewers,
		doc: "All controllers, as the one that answers sees them."}
	addToken = endpoint[TokenRequest, JoinToken]{method: http.MethodPost, pattern: "/v1/controllers/tokens", allow: admins,
		doc: "Make a word that lets one machine become a controller, once.", query: []string{whyParam}}
	joinController = endpoint[JoinRequest, JoinAnswer]{method: http.MethodPost, pattern: "/v1/controllers/join", allow: anyone, limit: fleet.MaxAgentRequest,
		doc: "Take a machine in as a controller. The token is what lets it."}
	transferLeadership = endpoint[TransferRequest, none]{method: http.MethodPost, pattern: "/v1/controllers/transfer", allow: admins,
		doc: "Hand the leadership to another controller."}
	removeController = endpoint[none, Change]{method: http.MethodDelete, pattern: "/v1/controllers/{controller}", allow: admins,
		doc: "Take a controller out of the cluster.", query: []string{forceParam, dryRunParam, whyParam}}

	listUsers = endpoint[none, []fleet.User]{method: http.MethodGet, pattern: "/v1/users", allow: viewers, reads: chosen,
		doc: "People and programs that may ask from afar, by name, with their certificates that hold."}
	addUser = endpoint[UserRequest, UserCertificate]{method: http.MethodPost, pattern: "/v1/users", allow: admins, limit: fleet.MaxAgentRequest,
		doc: "Issue a certificate for a person, for a key that stays where it was made.", query: []string{whyParam}}
	deleteUser = endpoint[none, Change]{method: http.MethodDelete, pattern: "/v1/users/{user}", allow: admins, changes: true,
		doc: "Take all certificates of a person back."}

	peerHello = endpoint[none, Hello]{method: http.MethodGet, pattern: "/v1/peer/hello", allow: controllers,
		doc: "How a controller is."}
	peerPropose = endpoint[stream, Committed]{method: http.MethodPost, pattern: "/v1/peer/propose", allow: controllers, limit: fleet.MaxEntry,
		doc: "Commit an encoded entry, as the leader."}
	peerRead = endpoint[ReadRequest, Committed]{method: http.MethodPost, pattern: "/v1/peer/read", allow: controllers, limit: fleet.MaxAgentRequest,
		doc: "How new a state must be to be read from."}
	peerTransfer = endpoint[TransferRequest, none]{method: http.MethodPost, pattern: "/v1/peer/transfer", allow: controllers, limit: fleet.MaxAgentRequest,
		doc: "Hand this controller's leadership over."}
	peerObserved = endpoint[none, Observations]{method: http.MethodGet, pattern: "/v1/peer/observed", allow: controllers,
		doc: "What this controller saw of machines that boot; waits for something to tell.", query: []string{afterParam}}
	peerPull = endpoint[PullRequest, pullLine]{method: http.MethodPost, pattern: "/v1/peer/pull", allow: controllers, limit: fleet.MaxAgentRequest,
		doc: "Fetch blobs from another controller. The answer is lines of JSON."}
	peerBlob = endpoint[none, stream]{method: http.MethodGet, pattern: "/v1/peer/blob/{digest}", allow: controllers,
		doc: "One blob."}

	agentEnroll = endpoint[fleet.EnrollRequest, fleet.EnrollAnswer]{method: http.MethodPost, pattern: fleet.AgentEnrollPath, allow: anyone, limit: fleet.MaxAgentRequest,
		doc: "Trade a boot token for a certificate and a manifest."}
	agentRenew = endpoint[fleet.RenewRequest, fleet.RenewAnswer]{method: http.MethodPost, pattern: fleet.AgentRenewPath, allow: nodes, limit: fleet.MaxAgentRequest,
		doc: "A fresh certificate for a node that still has a valid one."}
	agentBlob = endpoint[none, stream]{method: http.MethodGet, pattern: fleet.AgentBlobPath + "{digest}", allow: nodes,
		doc: "A range of an image's root."}
	agentReport = endpoint[fleet.Report, fleet.SwarmAnswer]{method: http.MethodPost, pattern: fleet.AgentReportPath, allow: nodes, limit: fleet.MaxAgentRequest,
		doc: "Tell of a boot, and learn whom to fetch from."}
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
