/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

#include "mq_float.h"

float mq_fn_cosh(float x, const float *parameters) {
    (void)parameters;
    const float e = mq_exp(0.5f * mq_abs(x)); /* halves, so that e^x itself need not be a float */
    return 0.5f * e * e + 0.5f / e / e;
}
