/* Column by column of b; mq_matmul_columns.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_matmul.h"

#define MQ_MATMUL mq_matmul_s8_frame_f32
#define MQ_VALUE float
#define MQ_STORE(real) (real)
#include "mq_matmul_frame_columns.h"
