VERSION = 100  # 0.1.0: 10000 * major + 100 * minor + patch
