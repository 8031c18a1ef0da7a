/** Signs requests to S3 (AWS Signature Version 4). What is sent is signed with its digest: the store checks it. */
import { AwsV4Signer } from 'aws4fetch'
import { Secret } from '../../config/secret.ts'
import { Failure } from '../../failure.ts'
import type { AwsCredentials } from './aws-credentials.ts'
import type { Question, Sign } from './web-client.ts'

export function signFor(credentials: () => Promise<AwsCredentials>, region: string): Sign {
  return async (question: Question) => {
    const { accessKeyId, secretAccessKey, sessionToken } = await credentials()
    const bytes = question.content?.bytes() ?? new Uint8Array(0)
    if (!(bytes instanceof Uint8Array)) throw new Failure('internal', 'only what is in memory can be signed')
    const signer = new AwsV4Signer({
      method: question.method,
      url: question.url.href,
      headers: {
        ...question.headers,
        'x-amz-content-sha256': new Bun.CryptoHasher('sha256').update(bytes).digest('hex'),
      },
      accessKeyId,
      secretAccessKey: secretAccessKey.reveal(),
      ...(sessionToken ? { sessionToken: sessionToken.reveal() } : {}),
      service: 's3',
      region,
    })
    const { headers, url } = await signer.sign()
    const authorization = headers.get('authorization') ?? ''
    headers.delete('authorization')
    headers.delete('host')
    return { ...question, url, headers: Object.fromEntries(headers), authorization: new Secret(authorization) }
  }
}
