package initramfs

// required returns the modules without which no node can use its image.
func required() []string { return []string{"squashfs", "loop", "overlay"} }

// always returns the modules that are loaded whether or not a device asks for them: what the agent itself uses.
func always() []string { return append(required(), "af_packet", "unix", "virtio_rng") }

// drivers returns the network cards of servers and of virtual machines, and the buses they sit on. Names that a kernel
// does not have are passed over.
func drivers() []string {
	return []string{
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
}

// wished returns the modules that a driver asks the kernel for by request_module, which finds no modprobe in an
// initramfs: they are loaded before it, if they can be. For the PHY drivers among them, see
// phy_request_driver_module in drivers/net/phy/phy_device.c.
func wished(driver string) []string {
	switch driver {
	case "amd_xgbe":
		return []string{"marvell", "bcm_phy_lib"}
	case "bcmgenet", "tg3":
		return []string{"broadcom"}
	case "dwmac_generic", "hns3", "xgene_enet":
		return []string{"marvell", "realtek"}
	case "dwmac_intel", "mvpp2":
		return []string{"marvell", "marvell10g"}
	case "fec":
		return []string{"at803x", "micrel"}
	case "hns_enet_drv", "mvneta", "ngbe":
		return []string{"marvell"}
	case "macb":
		return []string{"microchip", "marvell"}
	case "r8169":
		return []string{"realtek"}
	case "thunder_bgx":
		return []string{"marvell", "aquantia"}
	}
	return nil
}

// companions returns the modules that drive the same devices as a module does, on top of it: the kernel asks for them by
// request_module.
func companions(module string) []string {
	switch module {
	case "mlx4_core":
		return []string{"mlx4_en"}
	case "hclge":
		return []string{"hns3"}
	case "thunder_bgx":
		return []string{"nicpf"}
	}
	return nil
}
