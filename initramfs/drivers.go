package initramfs

// required are the modules without which no node can use its image.
var required = [...]string{"squashfs", "loop", "overlay"}

// always are loaded whether or not a device asks for them: what the agent itself uses.
var always = [...]string{"squashfs", "loop", "overlay", "af_packet", "unix", "virtio_rng"}

// drivers are the network cards of servers and of virtual machines, and the buses they sit on. Names that a
// kernel does not have are passed over.
var drivers = [...]string{
	// virtual machines
	"virtio_pci", "virtio_mmio", "virtio_net", "vmxnet3", "ena", "gve", "mana", "hv_vmbus", "hv_netvsc", "pci_hyperv",
	"xen_netfront", "8139cp", "8139too", "ne2k_pci", "pcnet32", "e100",
	// Intel
	"e1000", "e1000e", "igb", "igbvf", "igc", "ixgbe", "ixgbevf", "i40e", "iavf", "ice", "idpf", "fm10k",
	// Broadcom
	"tg3", "bnx2", "bnx2x", "bnxt_en", "bnge", "bcmgenet",
	// NVIDIA and Mellanox
	"mlx4_en", "mlx5_core", "mlxbf_gige", "forcedeth",
	// Marvell, QLogic and Cavium
	"qede", "qlcnic", "sky2", "atlantic", "liquidio", "nicpf", "nicvf", "thunder_bgx", "rvu_af", "rvu_nicpf", "rvu_nicvf",
	"octeon_ep", "mvneta", "mvpp2",
	// others
	"r8169", "r8125", "sfc", "sfc_siena", "cxgb4", "cxgb4vf", "be2net", "enic", "hinic", "hinic3", "hns3", "hclge", "hns_enet_drv",
	"nfp", "ionic", "amd_xgbe", "xgene_enet", "xgene_enet_v2", "dwmac_intel", "dwmac_generic", "macb", "fec", "fsl_dpaa2_eth",
	"txgbe", "ngbe", "alx", "atl1c", "jme",
}

// wished are modules that a driver asks the kernel for by request_module, which finds no modprobe in an initramfs: they
// are loaded before it, if they can be. For the PHY drivers among them, see phy_request_driver_module in
// drivers/net/phy/phy_device.c.
var wished = map[string][]string{
	"amd_xgbe":      {"marvell", "bcm_phy_lib"},
	"bcmgenet":      {"broadcom"},
	"dwmac_generic": {"marvell", "realtek"},
	"dwmac_intel":   {"marvell", "marvell10g"},
	"fec":           {"at803x", "micrel"},
	"hns3":          {"marvell", "realtek"},
	"hns_enet_drv":  {"marvell"},
	"macb":          {"microchip", "marvell"},
	"mvneta":        {"marvell"},
	"mvpp2":         {"marvell", "marvell10g"},
	"ngbe":          {"marvell"},
	"r8169":         {"realtek"},
	"tg3":           {"broadcom"},
	"thunder_bgx":   {"marvell", "aquantia"},
	"xgene_enet":    {"marvell", "realtek"},
}

// companions drive the same devices as a module does, on top of it: the kernel asks for them by request_module.
var companions = map[string][]string{
	"mlx4_core":   {"mlx4_en"},
	"hclge":       {"hns3"},
	"thunder_bgx": {"nicpf"},
}
