package oci_test

const supervisorEnv = "HOIST_TEST_SUPERVISOR"

func supervisor() int { return 0 }
