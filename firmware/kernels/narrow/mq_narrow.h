/* Reals on the grid of a narrow floating-point type (float8, float4), to be mapped over a tensor by mq_map.h.
 *
 *   e = max(floor(log2 |x|), p[1]),  q = 2^(e - p[0]),  y = sign(x) q round(|x| / q)     round half to even
 *
 * p[0]: bits of the fraction, p[1]: lowest exponent of a normal number, p[2]: largest finite value, p[3]: what a larger
 * magnitude becomes, infinity included, p[4]: what NaN becomes; -1 in these two is NaN. |x| / q and q round(...) are
 * exact.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_NARROW_H
#define MQ_NARROW_H

#include "mq_map.h"

float mq_fn_round_to_type(float x, const float *parameters); /* x on the grid of a narrow type */

#endif
