/** Kubernetes' way to containerd: `runtime.v1`, as far as pulls go. */
import { credentials, makeGenericClientConstructor, status } from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'

const text = (id: number) => ({ type: 'string', id })
const call = (requestType: string, responseType: string) => ({ requestType, responseType, comment: '' })
const packages: Parameters<typeof fromJSON>[0] = {
  nested: {
    'runtime.v1': {
      nested: {
        ImageSpec: { fields: { image: text(1) } },
        ImageRequest: { fields: { image: { type: 'ImageSpec', id: 1 } } },
        PullImageResponse: { fields: { imageRef: text(1) } },
        Empty: { fields: {} },
        ImageService: {
          methods: { PullImage: call('ImageRequest', 'PullImageResponse'), RemoveImage: call('ImageRequest', 'Empty') },
        },
      },
    },
  },
}
const service = fromJSON(packages, { defaults: true })['runtime.v1.ImageService']
if (!service || 'format' in service) throw new Error('there is no ImageService')
const ImageService = makeGenericClientConstructor(service, 'ImageService')

/** @throws with the name of the gRPC status, and what containerd says */
export async function cri(socket: string, method: 'PullImage' | 'RemoveImage', image: string): Promise<void> {
  const client = new ImageService(`unix://${socket}`, credentials.createInsecure())
  const definition = ImageService.service[method]!
  const { path, requestSerialize, responseDeserialize } = definition
  try {
    await new Promise<void>((resolve, reject) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { image: { image } }, (error) =>
        error ? reject(new Error(`${status[error.code]}: ${error.details}`)) : resolve(),
      )
    })
  } finally {
    client.close()
  }
}
