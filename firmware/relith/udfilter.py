"""A Kalman filter in whole numbers whose covariance cannot turn negative: P = U D U' (Bierman 1977, Factorization
Methods, ch. V).

State `x` and noise in parts per billion (ppb) of whatever a state counts; `d` in ppb squared; `u` is the strict upper
triangle of the unit upper triangular U, scaled by ONE, column after column. States are ordered so that each depends on
later ones only: a step in time is then a sum of rows of U, and stays triangular. Runs once per half-cycle, so big ints
are allowed.
"""

from array import array

ONE = 1000000000
_LIMIT = 1 << 62
# Mean of a normal cut off below zero, in its own sigmas: z -> phi(z)/Phi(z), from z = -4 in steps of 1/2, per mille
_MILLS = (4226, 3751, 3283, 2823, 2373, 1939, 1525, 1141, 798, 509, 288, 139)


def fit(value):
    """`value` held inside what array('q') stores; MicroPython would cut it silently."""
    return -_LIMIT if value < -_LIMIT else _LIMIT if value > _LIMIT else value


def root(value):
    """Integer square root (math.isqrt is absent on a board)."""
    guess = 1 if value else 0
    while guess * guess < value:
        guess *= 64
    while guess:
        better = (guess + value // guess) // 2
        if better >= guess:
            return guess
        guess = better
    return 0


def clean():
    """Here garbage may be collected."""
    if Filter.tidy:
        Filter.tidy()


class Filter:
    tidy = None  # a board's gc.collect: what is worked out leaves tens of kB behind (clean)

    def __init__(self, n):
        self.n = n
        self.x = array("q", [0] * n)
        self.d = array("q", [1] * n)
        self.u = array("q", [0] * (n * (n - 1) // 2))

    def flow(self, i, j, factor):
        """Covariance of x[i] += factor/ONE * x[j], j > i: row i of U gains `factor` times row j."""
        u = self.u
        for k in range(j, self.n):
            base = k * (k - 1) // 2
            row_j = ONE if k == j else u[base + j]
            u[base + i] = fit(u[base + i] + factor * row_j // ONE)

    def scale(self, i, factor):
        """Covariance of x[i] *= factor/ONE, factor > 0."""
        u = self.u
        for k in range(i + 1, self.n):
            u[k * (k - 1) // 2 + i] = u[k * (k - 1) // 2 + i] * factor // ONE
        base = i * (i - 1) // 2
        for r in range(i):
            u[base + r] = fit(u[base + r] * ONE // factor)
        self.d[i] = fit(max(1, self.d[i] * factor // ONE * factor // ONE))

    def noise(self, i, sigma):
        """P[i][i] += sigma**2 by the Agee-Turner rank-one update; touches the columns up to i only."""
        u, d = self.u, self.d
        a = [0] * (i + 1)
        a[i] = ONE
        c = sigma * sigma
        for j in range(i, -1, -1):
            if c <= 0:
                return
            old = d[j]
            gain = c * a[j] // ONE
            new = old + gain * a[j] // ONE
            base = j * (j - 1) // 2
            for r in range(j):
                a[r] -= a[j] * u[base + r] // ONE
                u[base + r] = fit(u[base + r] + gain * a[r] // new)
            d[j] = fit(new)
            c = c * old // new

    def _weights(self, h):
        """f = U'h for sparse h ((state, factor), …)."""
        u, f = self.u, [0] * self.n
        for i, factor in h:
            f[i] += factor
            for k in range(i + 1, self.n):
                part = u[k * (k - 1) // 2 + i]
                if part:
                    f[k] += part if factor == ONE else part * factor // ONE
        return f

    def mean(self, h):
        total = 0
        for i, factor in h:
            total += self.x[i] * factor
        return total // ONE

    def variance(self, h):
        total = 0
        for d, f in zip(self.d, self._weights(h)):
            if f:
                total += d * f * f
        return total // (ONE * ONE)

    def sigma(self, h):
        return root(self.variance(h))

    def sigma_of(self, i):
        """Of one state, in parts per million."""
        return self.sigma(((i, ONE),)) // 1000

    def update(self, h, z, r):
        """Measured h·x = z with variance r. Returns the residual before the update (Bierman, table V.3)."""
        clean()
        residual = z - self.mean(h)
        u, d = self.u, self.d
        f = self._weights(h)
        alpha = max(1, r)
        b = [0] * self.n
        for j in range(self.n):
            if not f[j]:
                continue
            v = d[j] * f[j] // ONE
            before = alpha
            alpha = before + v * f[j] // ONE
            base = j * (j - 1) // 2
            for i in range(j):
                old = u[base + i]
                u[base + i] = fit(old - b[i] * f[j] // before)
                b[i] += old * v // ONE
            b[j] = v
            d[j] = fit(max(1, d[j] * before // alpha))
        for i in range(self.n):
            self.x[i] = fit(self.x[i] + b[i] * residual // alpha)
        return residual

    def positive(self, h):
        """Condition on h·x > 0, its mean below one sigma: the measurement that gives mean and variance of the normal
        cut at zero.
        """
        variance = self.variance(h)
        mean = self.mean(h)
        sigma = max(1, root(variance))
        z = max(-4000, mean * 1000 // sigma)
        k, part = (z + 4000) // 500, (z + 4000) % 500
        mills = (_MILLS[k] * (500 - part) + _MILLS[k + 1] * part) // 500
        cut = min(mills * (mills + z) // 1000, 950)  # share of the variance that goes, per mille
        self.update(h, mean + sigma * mills // cut, variance * (1000 - cut) // cut)
