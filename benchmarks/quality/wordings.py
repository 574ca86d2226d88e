# ruff: noqa: RUF001, E501 (texts of many scripts)
"""Faulty and clean wordings in fifteen languages, for the benchmark of the checks by language.

Written as a speaker would put them, without a look at the lists in
``src/pairmill/quality/languages``.
"""

from __future__ import annotations

from typing import NamedTuple


class Wordings(NamedTuple):
    """Clean instructions; instructions and answers that point at a source; answers' openings."""

    clean: tuple[str, ...]
    pointing: tuple[str, ...]
    pointing_answers: tuple[str, ...]
    refusal: tuple[str, ...]
    meta_text: tuple[str, ...]
    yes_no: tuple[str, ...]


WORDINGS = {
    "en": Wordings(
        ("What protects a person who is accused of a crime?", "Explain why education should be free for everybody.", "How do nations keep the peace among themselves?"),
        ("What does the author think of liberty?", "According to the article, who may marry?", "List the main points of the passage.", "Summarize the text above.", "What rights are named in this excerpt?"),
        ("The passage says so itself.", "As the author puts it, everyone is equal.", "This is described in the text."),
        ("I'm sorry, but I cannot help with that.", "As an AI, I can't give legal advice.", "Unfortunately, I cannot answer this question."),
        ("Sure! Here is the answer:", "Here's a short answer to your question:", "Certainly, I'd be happy to help."),
        ("Is everyone free to leave his country?", "Do people have a right to rest?", "Can a person be held in slavery?"),
    ),
    "de": Wordings(
        ("Was schützt einen Menschen, der angeklagt ist?", "Erkläre, warum Bildung nichts kosten sollte.", "Wie bewahren Staaten den Frieden untereinander?"),
        ("Was meint der Autor mit Freiheit?", "Wer darf laut dem Artikel heiraten?", "Nenne die wichtigsten Punkte des Textes.", "Fasse den obigen Text zusammen.", "Welche Rechte werden in diesem Auszug genannt?"),
        ("So steht es im Text.", "Der Autor sagt, dass alle gleich sind.", "Das wird in der Passage beschrieben."),
        ("Es tut mir leid, aber dabei kann ich nicht helfen.", "Als KI-Modell darf ich keine Rechtsberatung geben.", "Leider kann ich diese Frage nicht beantworten."),
        ("Natürlich! Hier ist die Antwort:", "Gerne, hier ist eine kurze Antwort:", "Antwort:"),
        ("Darf jeder sein Land verlassen?", "Haben Menschen ein Recht auf Erholung?", "Ist Sklaverei erlaubt?"),
    ),
    "fr": Wordings(
        ("Qu'est-ce qui protège une personne accusée d'un délit ?", "Explique pourquoi l'école devrait être gratuite.", "Comment les nations préservent-elles la paix ?"),
        ("Que pense l'auteur de la liberté ?", "Selon l'article, qui peut se marier ?", "Cite les points principaux du texte.", "Résume le texte ci-dessus.", "Quels droits sont nommés dans cet extrait ?"),
        ("C'est ce que dit le texte.", "Selon l'auteur, tous sont égaux.", "Cela est décrit dans le passage."),
        ("Je suis désolé, mais je ne peux pas vous aider.", "En tant qu'IA, je ne peux pas donner de conseil juridique.", "Malheureusement, je ne peux pas répondre à cette question."),
        ("Bien sûr ! Voici la réponse :", "Voici une réponse courte :", "Réponse :"),
        ("Est-ce que chacun peut quitter son pays ?", "Les gens ont-ils droit au repos ?", "Peut-on tenir quelqu'un en esclavage ?"),
    ),
    "es": Wordings(
        ("¿Qué protege a una persona acusada de un delito?", "Explica por qué la educación debería ser gratuita.", "¿Cómo conservan las naciones la paz?"),
        ("¿Qué piensa el autor de la libertad?", "Según el artículo, ¿quién puede casarse?", "Enumera los puntos principales del texto.", "Resume el texto anterior.", "¿Qué derechos se nombran en este fragmento?"),
        ("Así lo dice el texto.", "Según el autor, todos son iguales.", "Esto se describe en el pasaje."),
        ("Lo siento, pero no puedo ayudarte con eso.", "Como modelo de IA, no puedo dar consejo legal.", "Lamentablemente, no puedo responder a esta pregunta."),
        ("¡Claro! Aquí está la respuesta:", "Por supuesto, aquí tienes una respuesta breve:", "Respuesta:"),
        ("¿Puede cada uno salir de su país?", "¿Tienen las personas derecho al descanso?", "¿Es legal la esclavitud?"),
    ),
    "pt": Wordings(
        ("O que protege uma pessoa acusada de um crime?", "Explica por que razão a educação deve ser gratuita.", "Como mantêm as nações a paz entre si?"),
        ("O que pensa o autor da liberdade?", "Segundo o artigo, quem pode casar?", "Enumera os pontos principais do texto.", "Resume o texto acima.", "Que direitos são referidos neste excerto?"),
        ("É o que diz o texto.", "Segundo o autor, todos são iguais.", "Isto é descrito na passagem."),
        ("Lamento, mas não posso ajudar com isso.", "Como modelo de IA, não posso dar aconselhamento jurídico.", "Infelizmente, não posso responder a esta pergunta."),
        ("Claro! Aqui está a resposta:", "Com certeza, aqui está uma resposta curta:", "Resposta:"),
        ("É permitida a escravatura?", "Pode cada um sair do seu país?", "As pessoas têm direito ao descanso?"),
    ),
    "it": Wordings(
        ("Che cosa protegge una persona accusata di un reato?", "Spiega perché l'istruzione dovrebbe essere gratuita.", "Come mantengono le nazioni la pace?"),
        ("Che cosa pensa l'autore della libertà?", "Secondo l'articolo, chi può sposarsi?", "Elenca i punti principali del testo.", "Riassumi il testo sopra.", "Quali diritti sono nominati in questo brano?"),
        ("Così dice il testo.", "Secondo l'autore, tutti sono uguali.", "Questo è descritto nel passaggio."),
        ("Mi dispiace, ma non posso aiutarti.", "In quanto modello di IA, non posso dare consigli legali.", "Purtroppo non posso rispondere a questa domanda."),
        ("Certo! Ecco la risposta:", "Certamente, ecco una breve risposta:", "Risposta:"),
        ("È permessa la schiavitù?", "Può ognuno lasciare il proprio paese?", "Le persone hanno diritto al riposo?"),
    ),
    "ru": Wordings(
        ("Что защищает человека, обвиняемого в преступлении?", "Объясни, почему образование должно быть бесплатным.", "Как государства сохраняют мир между собой?"),
        ("Что автор думает о свободе?", "Согласно статье, кто может вступать в брак?", "Перечисли главные мысли текста.", "Кратко изложи приведённый выше текст.", "Какие права названы в этом отрывке?"),
        ("Так говорится в тексте.", "По словам автора, все равны.", "Это описано в отрывке."),
        ("Извините, но я не могу с этим помочь.", "Как языковая модель, я не могу давать юридические советы.", "К сожалению, я не могу ответить на этот вопрос."),
        ("Конечно! Вот ответ:", "Разумеется, вот краткий ответ:", "Ответ:"),
        ("Может ли каждый покинуть свою страну?", "Имеют ли люди право на отдых?", "Разрешено ли рабство?"),
    ),
    "zh": Wordings(
        ("被控犯罪的人受到什么保护？", "请解释为什么教育应当免费。", "各国之间怎样保持和平？"),
        ("作者怎么看待自由？", "根据这篇文章，谁可以结婚？", "列出本文的要点。", "请总结上文。", "这段文字提到了哪些权利？"),
        ("文中就是这么说的。", "作者认为人人平等。", "这段话描述了这一点。"),
        ("对不起，我无法帮助你。", "作为一个人工智能，我不能提供法律建议。", "很抱歉，我不能回答这个问题。"),
        ("当然！以下是答案：", "好的，这是一个简短的回答：", "答案："),
        ("人人都可以离开自己的国家吗？", "人有休息的权利吗？", "奴隶制是否合法？"),
    ),
    "ja": Wordings(
        ("罪に問われた人は何によって守られますか。", "教育が無償であるべき理由を説明してください。", "国々はどのように平和を保ちますか。"),
        ("著者は自由についてどう考えていますか。", "この記事によると、誰が結婚できますか。", "本文の要点を挙げてください。", "上の文章を要約してください。", "この文章ではどの権利が挙げられていますか。"),
        ("本文にはそう書かれています。", "著者によれば、すべての人は平等です。", "この文章で説明されています。"),
        ("申し訳ありませんが、お手伝いできません。", "AIとして、法律の助言はできません。", "申し訳ございませんが、この質問にはお答えできません。"),
        ("もちろんです。以下が回答です。", "はい、こちらが短い回答です。", "回答："),
        ("誰でも自分の国を離れることができますか。", "人には休む権利がありますか。", "奴隷制は許されますか。"),
    ),
    "ko": Wordings(
        ("범죄로 기소된 사람을 무엇이 보호합니까?", "교육이 무상이어야 하는 이유를 설명하세요.", "국가들은 어떻게 평화를 지킵니까?"),
        ("저자는 자유를 어떻게 생각합니까?", "이 기사에 따르면 누가 결혼할 수 있습니까?", "본문의 요점을 나열하세요.", "위 글을 요약하세요.", "이 글에서 어떤 권리가 언급됩니까?"),
        ("본문에 그렇게 나와 있습니다.", "저자에 따르면 모두가 평등합니다.", "이 글에서 설명하고 있습니다."),
        ("죄송하지만 도와드릴 수 없습니다.", "AI로서 저는 법률 조언을 드릴 수 없습니다.", "죄송합니다만 이 질문에는 답변할 수 없습니다."),
        ("물론입니다! 답변은 다음과 같습니다:", "네, 짧은 답변입니다:", "답변:"),
        ("누구나 자기 나라를 떠날 수 있습니까?", "사람에게 쉴 권리가 있나요?", "노예제는 허용됩니까?"),
    ),
    "ar": Wordings(
        ("ما الذي يحمي شخصا متهما بجريمة؟", "اشرح لماذا ينبغي أن يكون التعليم مجانيا.", "كيف تحافظ الدول على السلام فيما بينها؟"),
        ("ماذا يرى الكاتب في الحرية؟", "وفقا للمقال، من يحق له الزواج؟", "اذكر النقاط الرئيسية في النص.", "لخص النص أعلاه.", "ما الحقوق المذكورة في هذا المقطع؟"),
        ("هذا ما يقوله النص.", "وفقا للكاتب، الجميع متساوون.", "وقد ورد ذلك في المقال."),
        ("عذرا، لا أستطيع مساعدتك في ذلك.", "بصفتي نموذجا لغويا، لا يمكنني تقديم المشورة القانونية.", "آسف، لا يمكنني الإجابة عن هذا السؤال."),
        ("بالتأكيد! إليك الإجابة:", "بالطبع، إليك إجابة قصيرة:", "الإجابة:"),
        ("هل يحق لكل فرد مغادرة بلده؟", "هل للناس حق في الراحة؟", "هل الرق مسموح به؟"),
    ),
    "hi": Wordings(
        ("अपराध के आरोपी व्यक्ति की रक्षा क्या करता है?", "समझाइए कि शिक्षा निःशुल्क क्यों होनी चाहिए।", "राष्ट्र आपस में शांति कैसे बनाए रखते हैं?"),
        ("लेखक स्वतंत्रता के बारे में क्या सोचते हैं?", "लेख के अनुसार कौन विवाह कर सकता है?", "पाठ के मुख्य बिंदु बताइए।", "ऊपर दिए गए पाठ का सारांश लिखिए।", "इस गद्यांश में किन अधिकारों का उल्लेख है?"),
        ("पाठ में यही कहा गया है।", "लेखक के अनुसार सभी समान हैं।", "गद्यांश में इसका वर्णन है।"),
        ("क्षमा करें, मैं इसमें मदद नहीं कर सकता।", "एक एआई के रूप में मैं कानूनी सलाह नहीं दे सकता।", "माफ़ कीजिए, मैं इस प्रश्न का उत्तर नहीं दे सकता।"),
        ("ज़रूर! यहाँ उत्तर है:", "बिल्कुल, यहाँ एक छोटा उत्तर है:", "उत्तर:"),
        ("क्या हर कोई अपना देश छोड़ सकता है?", "क्या लोगों को विश्राम का अधिकार है?", "क्या दासता की अनुमति है?"),
    ),
    "th": Wordings(
        ("อะไรคุ้มครองบุคคลที่ถูกกล่าวหาว่ากระทำผิด", "อธิบายว่าทำไมการศึกษาควรไม่เสียค่าใช้จ่าย", "ประเทศต่าง ๆ รักษาสันติภาพกันอย่างไร"),
        ("ผู้เขียนคิดอย่างไรเกี่ยวกับเสรีภาพ", "ตามบทความนี้ ใครแต่งงานได้", "บอกประเด็นสำคัญของข้อความ", "สรุปข้อความข้างต้น", "ข้อความนี้กล่าวถึงสิทธิใดบ้าง"),
        ("ตามที่ข้อความระบุไว้", "ผู้เขียนกล่าวว่าทุกคนเท่าเทียมกัน", "บทความอธิบายเรื่องนี้ไว้"),
        ("ขออภัย ฉันไม่สามารถช่วยเรื่องนี้ได้", "ในฐานะ AI ฉันไม่สามารถให้คำปรึกษาทางกฎหมายได้", "ขอโทษครับ ผมไม่สามารถตอบคำถามนี้ได้"),
        ("แน่นอน! นี่คือคำตอบ:", "ได้เลย นี่คือคำตอบสั้น ๆ:", "คำตอบ:"),
        ("ทุกคนออกจากประเทศของตนได้หรือไม่", "คนเรามีสิทธิพักผ่อนไหม", "การค้าทาสทำได้หรือเปล่า"),
    ),
    "vi": Wordings(
        ("Điều gì bảo vệ một người bị cáo buộc phạm tội?", "Hãy giải thích vì sao giáo dục nên miễn phí.", "Các quốc gia giữ hòa bình với nhau như thế nào?"),
        ("Tác giả nghĩ gì về tự do?", "Theo bài viết, ai có thể kết hôn?", "Liệt kê các ý chính của văn bản.", "Tóm tắt đoạn văn trên.", "Những quyền nào được nêu trong đoạn trích này?"),
        ("Văn bản nói như vậy.", "Theo tác giả, mọi người đều bình đẳng.", "Điều này được mô tả trong đoạn văn."),
        ("Xin lỗi, tôi không thể giúp việc đó.", "Là một mô hình ngôn ngữ, tôi không thể tư vấn pháp lý.", "Rất tiếc, tôi không thể trả lời câu hỏi này."),
        ("Chắc chắn rồi! Đây là câu trả lời:", "Tất nhiên, đây là câu trả lời ngắn:", "Trả lời:"),
        ("Mọi người có được rời khỏi đất nước mình không?", "Con người có quyền nghỉ ngơi không?", "Chế độ nô lệ có được phép không?"),
    ),
    "tr": Wordings(
        ("Suçlanan bir kişiyi ne korur?", "Eğitimin neden parasız olması gerektiğini açıkla.", "Uluslar aralarındaki barışı nasıl korur?"),
        ("Yazar özgürlük hakkında ne düşünüyor?", "Makaleye göre kimler evlenebilir?", "Metnin ana noktalarını sırala.", "Yukarıdaki metni özetle.", "Bu parçada hangi haklar anılıyor?"),
        ("Metinde böyle deniyor.", "Yazara göre herkes eşittir.", "Bu, parçada anlatılmaktadır."),
        ("Üzgünüm, bu konuda yardımcı olamam.", "Bir yapay zeka olarak hukuki tavsiye veremem.", "Maalesef bu soruyu yanıtlayamam."),
        ("Elbette! İşte cevap:", "Tabii, işte kısa bir yanıt:", "Cevap:"),
        ("Herkes ülkesinden ayrılabilir mi?", "İnsanların dinlenme hakkı var mı?", "Kölelik serbest midir?"),
    ),
}  # fmt: skip

HELD_OUT = {
    "en": Wordings((), ("What conclusion does the writer reach?", "Which examples does this text give?"), ("As mentioned in the article, this holds for all.",), ("I apologize, but I'm unable to assist with this.",), ("Great question! Let me explain.",), ("Are workers allowed to form unions?", "Should marriage need consent?")),
    "de": Wordings((), ("Zu welchem Schluss kommt der Verfasser?", "Welche Beispiele nennt dieser Text?"), ("Wie im Artikel erwähnt, gilt das für alle.",), ("Entschuldigung, das kann ich leider nicht tun.",), ("Gute Frage! Hier meine Antwort:",), ("Dürfen Arbeiter Gewerkschaften gründen?", "Braucht die Ehe Zustimmung?")),
    "fr": Wordings((), ("À quelle conclusion l'auteur arrive-t-il ?", "Quels exemples ce texte donne-t-il ?"), ("Comme mentionné dans l'article, cela vaut pour tous.",), ("Désolé, je ne suis pas en mesure de répondre.",), ("Avec plaisir ! Voici mon explication :",), ("Les ouvriers peuvent-ils fonder des syndicats ?", "Faut-il un consentement pour se marier ?")),
    "es": Wordings((), ("¿A qué conclusión llega el autor?", "¿Qué ejemplos da este texto?"), ("Como se menciona en el artículo, esto vale para todos.",), ("Disculpa, no me es posible ayudar.",), ("¡Buena pregunta! Te explico:",), ("¿Pueden los obreros fundar sindicatos?", "¿Debe haber consentimiento para casarse?")),
    "pt": Wordings((), ("A que conclusão chega o autor?", "Que exemplos dá este texto?"), ("Como mencionado no artigo, isto vale para todos.",), ("Desculpe, não me é possível ajudar.",), ("Boa pergunta! Vou explicar:",), ("Podem os operários fundar sindicatos?", "Deve haver consentimento para casar?")),
    "it": Wordings((), ("A quale conclusione giunge l'autore?", "Quali esempi fa questo testo?"), ("Come menzionato nell'articolo, questo vale per tutti.",), ("Mi scuso, ma non sono in grado di aiutare.",), ("Ottima domanda! Ecco la spiegazione:",), ("Possono gli operai fondare sindacati?", "Serve il consenso per sposarsi?")),
    "ru": Wordings((), ("К какому выводу приходит автор?", "Какие примеры приводит этот текст?"), ("Как упомянуто в статье, это верно для всех.",), ("Прошу прощения, но я не в состоянии помочь.",), ("Хороший вопрос! Объясняю:",), ("Вправе ли рабочие создавать профсоюзы?", "Нужно ли согласие для брака?")),
    "zh": Wordings((), ("作者得出了什么结论？", "这篇文章举了哪些例子？"), ("正如文章所述，这适用于所有人。",), ("抱歉，我不能提供这方面的帮助。",), ("好问题！我来解释：",), ("工人可以组织工会吗？", "结婚是否需要双方同意？")),
    "ja": Wordings((), ("筆者はどのような結論に達していますか。", "この文章にはどんな例がありますか。"), ("記事で述べられているように、これは全員に当てはまります。",), ("申し訳ございません、対応いたしかねます。",), ("良い質問ですね。ご説明します。",), ("労働者は組合を作れますか。", "結婚に同意は必要ですか。")),
    "ko": Wordings((), ("저자는 어떤 결론에 이릅니까?", "이 글은 어떤 예를 듭니까?"), ("기사에서 언급했듯이 이는 모두에게 해당합니다.",), ("죄송하지만 그 요청은 들어드릴 수 없습니다.",), ("좋은 질문입니다! 설명드리겠습니다.",), ("노동자가 노조를 만들 수 있나요?", "결혼에 동의가 필요합니까?")),
    "ar": Wordings((), ("إلى أي نتيجة يصل الكاتب؟", "ما الأمثلة التي يقدمها هذا النص؟"), ("كما ذكر في المقال، ينطبق هذا على الجميع.",), ("أعتذر، لا يمكنني المساعدة في هذا الأمر.",), ("سؤال جيد! دعني أشرح:",), ("هل يجوز للعمال إنشاء نقابات؟", "هل يشترط الرضا في الزواج؟")),
    "hi": Wordings((), ("लेखक किस निष्कर्ष पर पहुँचते हैं?", "यह पाठ कौन से उदाहरण देता है?"), ("जैसा कि लेख में बताया गया है, यह सब पर लागू होता है।",), ("मुझे खेद है, मैं सहायता करने में असमर्थ हूँ।",), ("अच्छा प्रश्न! मैं समझाता हूँ:",), ("क्या मज़दूर संघ बना सकते हैं?", "क्या विवाह के लिए सहमति चाहिए?")),
    "th": Wordings((), ("ผู้เขียนสรุปว่าอย่างไร", "บทความนี้ยกตัวอย่างอะไรบ้าง"), ("ดังที่กล่าวในบทความ เรื่องนี้ใช้กับทุกคน",), ("ขออภัย ไม่สามารถดำเนินการตามคำขอได้",), ("คำถามดีมาก! ขออธิบายดังนี้",), ("คนงานตั้งสหภาพได้ไหม", "การสมรสต้องมีความยินยอมหรือไม่")),
    "vi": Wordings((), ("Tác giả đi đến kết luận gì?", "Văn bản này đưa ra những ví dụ nào?"), ("Như đã nêu trong bài viết, điều này đúng với mọi người.",), ("Xin lỗi, tôi không có khả năng hỗ trợ yêu cầu này.",), ("Câu hỏi hay! Để tôi giải thích:",), ("Công nhân có được lập công đoàn không?", "Kết hôn có cần sự đồng ý không?")),
    "tr": Wordings((), ("Yazar hangi sonuca varıyor?", "Bu metin hangi örnekleri veriyor?"), ("Makalede belirtildiği gibi bu herkes için geçerlidir.",), ("Özür dilerim, bu isteğe yardımcı olamıyorum.",), ("Güzel soru! Açıklayayım:",), ("İşçiler sendika kurabilir mi?", "Evlenmek için rıza gerekir mi?")),
}  # fmt: skip
"""A second set, first measured before the lists saw it; see docs/quality.md."""
